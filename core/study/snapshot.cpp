// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/study/study.h"

#include <algorithm>
#include <utility>

namespace quantloupe {

const WeightStatistics* StudySnapshot::findWeights(const std::string& tensor) const
{
    const auto found = weights.find(tensor);
    return found == weights.end() ? nullptr : found->second.get();
}

const SchemeMeasurements& StudySnapshot::of(const std::string& tensor) const
{
    static const SchemeMeasurements none;
    const auto found = measurements.find(tensor);
    return found == measurements.end() ? none : *found->second;
}

const SchemeMeasurement* StudySnapshot::find(const std::string& tensor, const std::string& scheme) const
{
    const auto& all = of(tensor);
    const auto found = all.find(scheme);
    return found == all.end() ? nullptr : found->second.get();
}

std::vector<std::string> StudySnapshot::schemes() const
{
    // Total bytes compare only where every scheme covers the same tensors. Bits per weight over what each one covers
    // give the same order there, and a sensible one while an analysis is under way.
    struct Total {
        double bits = 0.0;
        double elements = 0.0;
    };
    std::map<std::string, Total> totals;
    for (const auto& [tensor, all] : measurements)
        for (const auto& [scheme, measurement] : *all) {
            auto& total = totals[scheme];
            const auto stored = static_cast<double>(measurement->storedBytes) * 8.0;
            total.bits += stored;
            total.elements += measurement->bitsPerWeight > 0.0 ? stored / measurement->bitsPerWeight : 0.0;
        }
    std::vector<std::pair<double, std::string>> order;
    order.reserve(totals.size());
    for (const auto& [scheme, total] : totals)
        order.emplace_back(total.elements > 0.0 ? total.bits / total.elements : 0.0, scheme);
    std::sort(order.begin(), order.end());
    std::vector<std::string> names;
    names.reserve(order.size());
    for (auto& entry : order)
        names.push_back(std::move(entry.second));
    return names;
}

void StudySnapshot::add(const MeasuredRecipe& measured)
{
    std::erase_if(measuredRecipes, [&](const auto& known) { return known->isOfTheSame(measured); });
    measuredRecipes.push_back(std::make_shared<const MeasuredRecipe>(measured));
}

void StudySnapshot::add(const TensorMeasurement& measurement)
{
    weights[measurement.tensor] = std::make_shared<const WeightStatistics>(measurement.weights);
    auto& shared = measurements[measurement.tensor];
    // A new map of pointers per append: snapshots handed out earlier keep the old one.
    auto all = shared ? std::make_shared<SchemeMeasurements>(*shared) : std::make_shared<SchemeMeasurements>();
    for (const auto& scheme : measurement.schemes) {
        auto& known = (*all)[scheme.scheme.toString()];
        auto added = std::make_shared<SchemeMeasurement>(scheme);
        // The same codes as before, measured for something else: what they do to the predictions stands.
        if (known && !added->divergence.known() && known->error == added->error
            && known->rowErrorEnergy == added->rowErrorEnergy)
            added->divergence = known->divergence;
        known = std::move(added);
    }
    shared = std::move(all);
}

}  // namespace quantloupe
