// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/workbench/work_list.h"

#include <algorithm>
#include <array>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

using quantloupe::Scheme;
using quantloupe::TensorRole;

namespace {

int rankOf(TensorRole role)
{
    switch (role) {
    case TensorRole::Down: return 0;
    case TensorRole::Output: return 1;
    case TensorRole::Value:
    case TensorRole::QueryKeyValue: return 2;
    case TensorRole::Query:
    case TensorRole::Key: return 3;
    case TensorRole::Gate:
    case TensorRole::Up:
    case TensorRole::GateUp: return 4;
    default: return 5;
    }
}

}  // namespace

std::vector<Scheme> defaultSweep()
{
    std::vector<Scheme> schemes;
    for (const auto* text : {"int8", "fp8_e4m3", "int6:g64", "int4:g32", "int4:g128", "nf4", "int3:g64", "int2:g32"})
        if (const auto scheme = Scheme::parse(text))
            schemes.push_back(*scheme);
    return schemes;
}

std::vector<quantloupe::WorkUnit> pendingWork(const quantloupe::ModelCatalog& model,
    const quantloupe::StudySnapshot& study, const quantloupe::Plan& plan, const Wishes& wishes)
{
    std::unordered_map<std::string, std::vector<Scheme>> single;
    for (const auto& [tensor, scheme] : wishes.single)
        single[tensor].push_back(scheme);
    const std::unordered_set<std::string> first(wishes.first.begin(), wishes.first.end());

    unsigned lastBlock = 0;
    for (const auto& tensor : model.tensors)
        lastBlock = std::max(lastBlock, tensor.parts.block.value_or(0));

    using Place = std::tuple<bool, bool, unsigned, int, std::size_t>;
    std::vector<std::pair<Place, quantloupe::WorkUnit>> places;
    for (std::size_t index = 0; index < model.tensors.size(); ++index) {
        const auto& tensor = model.tensors[index];
        if (!tensor.quantizable)
            continue;
        quantloupe::WorkUnit unit {index, {}};
        const auto& known = study.of(tensor.name);
        const auto want = [&](const Scheme& scheme) {
            const auto found = known.find(scheme.toString());
            const auto calibration = index < wishes.calibration.size() ? wishes.calibration[index] : 0;
            const bool stands = found != known.end() && (calibration == 0 || found->second->calibration == calibration);
            if (!stands && std::find(unit.schemes.begin(), unit.schemes.end(), scheme) == unit.schemes.end())
                unit.schemes.push_back(scheme);
        };
        std::for_each(wishes.sweep.begin(), wishes.sweep.end(), want);
        if (const auto found = single.find(tensor.name); found != single.end())
            std::for_each(found->second.begin(), found->second.end(), want);
        if (index < plan.tensors.size() && plan.tensors[index].scheme)
            want(*plan.tensors[index].scheme);
        if (unit.schemes.empty())
            continue;
        const auto block = tensor.parts.block;
        const auto depth = block ? std::min(*block, lastBlock - *block) : 0;
        places.emplace_back(
            Place {!first.contains(tensor.name), !block, depth, rankOf(tensor.parts.role), index}, unit);
    }
    std::sort(places.begin(), places.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    std::vector<quantloupe::WorkUnit> work;
    work.reserve(places.size());
    for (auto& [place, unit] : places)
        work.push_back(std::move(unit));
    return work;
}
