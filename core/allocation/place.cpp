// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/allocation/allocation.h"

#include "core/allocation/signal_energy.h"
#include "core/recipes/edit.h"

#include <limits>

namespace quantloupe {
namespace {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

/// Σw² of one tensor; NaN when it was not measured.
double signalEnergy(const StudySnapshot& study, const std::string& tensor)
{
    if (const auto& measured = study.of(tensor); !measured.empty())
        return measured.begin()->second->error.signalEnergy;
    if (const auto* weights = study.findWeights(tensor)) {
        const auto& moments = weights->moments;  // about a pivot p: Σw² = Σ(w−p)² + 2p·Σ(w−p) + n·p²
        return moments.sum2 + 2.0 * moments.pivot * moments.sum1
            + static_cast<double>(moments.count) * moments.pivot * moments.pivot;
    }
    return kUnknown;
}

}  // namespace

double signalEnergy(const StudySnapshot& study)
{
    const auto tied = tiedHead(study.model);
    double sum = kUnknown;
    for (std::size_t i = 0; i < study.model.tensors.size(); ++i) {
        const auto& tensor = study.model.tensors[i];
        if (!tensor.quantizable || tied == i)
            continue;
        if (const double energy = signalEnergy(study, tensor.name); energy == energy)
            sum = sum == sum ? sum + energy : energy;
    }
    return sum;
}

std::uint64_t unquantizedBytes(const ModelCatalog& model)
{
    const auto tied = tiedHead(model);
    return model.bytes() - (tied ? model.tensors[*tied].bytes : 0);
}

TradeOffPoint placeOf(const Recipe& recipe, const StudySnapshot& study, std::string label)
{
    const auto plan = resolve(recipe, study.model);
    const auto tied = tiedHead(study.model);
    double error = 0.0;
    for (const auto& planned : plan.tensors) {
        if (!planned.scheme || tied == planned.tensor)
            continue;
        const auto* measured = study.find(study.model.tensors[planned.tensor].name, planned.scheme->toString());
        error += measured ? measured->error.errorEnergy : kUnknown;
    }
    return {std::move(label), plan.bytes, plan.bitsPerWeight, error / signalEnergy(study)};
}

Recipe recipeAt(const Frontier& frontier, std::size_t point, const StudySnapshot& study, const Recipe& base)
{
    const auto before = decide(base, study.model);
    const auto choice = frontier.choice(point);
    std::vector<std::optional<LayerPlan>> plans(study.model.tensors.size());
    for (std::size_t i = 0; i < frontier.groups.size(); ++i) {
        const auto& group = frontier.groups[i];
        const auto scheme = Scheme::parse(group.options[choice[i]].scheme);
        if (!scheme)
            continue;  // empty: stays as stored
        for (const auto tensor : group.tensors) {
            auto& plan = plans[tensor].emplace();
            plan.weights = *scheme;
            if (const auto& old = before[tensor]; old && old->activations)
                plan.activations = *old->activations;
        }
    }
    return recipeFor(study.model, plans, base);
}

}  // namespace quantloupe
