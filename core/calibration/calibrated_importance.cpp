// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/calibration/calibrated_importance.h"

#include <map>
#include <utility>

namespace quantloupe {
namespace {

/// The sums of one matrix, behind those of the matrices before it.
void addMatrix(ImportanceEntry& entry, const ChannelSums& sums)
{
    entry.columns = sums.channels();
    for (const double value : sums.squares)
        entry.squares.push_back(static_cast<float>(value));
    entry.counts.push_back(static_cast<float>(sums.tokens));
}

/// The matrices of one entry, in the order of their experts.
using Matrices = std::map<unsigned, const ChannelSums*>;

}  // namespace

ImportanceMatrix importanceOf(const ModelCalibration& calibration, const Model& model)
{
    ImportanceMatrix matrix;
    std::uint64_t chunks = 0;
    for (const auto& text : calibration.texts) {
        matrix.datasets.push_back(text.name);
        chunks += text.context == 0 ? 0 : text.tokens / text.context;
        matrix.chunkSize = text.context;
    }
    matrix.chunks = chunks;

    std::map<std::string, Matrices> found;
    std::vector<std::string> order;
    for (const auto& tensor : model.tensors) {
        const auto role = tensor.parts.role;
        auto name = ggufName(tensor.name, model.config.architecture);
        if (!name || role == TensorRole::LmHead || role == TensorRole::Embedding)
            continue;
        auto first = calibration.layers.lower_bound({tensor.name, std::nullopt});
        for (; first != calibration.layers.end() && first->first.tensor == tensor.name; ++first) {
            const auto expert = first->first.expert ? *first->first.expert : tensor.parts.expert.value_or(0);
            auto& matrices = found[*name];
            if (matrices.empty())
                order.push_back(*name);
            matrices[expert] = &first->second->inputs;
        }
    }
    for (const auto& name : order) {
        ImportanceEntry entry {.name = name};
        for (const auto& [expert, sums] : found[name])
            addMatrix(entry, *sums);
        matrix.entries.push_back(std::move(entry));
    }
    return matrix;
}

}  // namespace quantloupe
