// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/comparison.h"

#include "core/base/not_a_number.h"
#include "core/recipes/plan.h"
#include "core/study/signal_energy.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace quantloupe {
namespace {

double decibels(double signal, double error)
{
    if (error == 0.0)
        return std::numeric_limits<double>::infinity();
    return 10.0 * std::log10(signal / error);
}

bool same(double a, double b)
{
    return a == b || (std::isnan(a) && std::isnan(b));
}

bool isAlike(const ComparedTensor& a, const ComparedTensor& b)
{
    // A figure that one side cannot have is no difference.
    const bool sameValue = std::isnan(a.value) || std::isnan(b.value) || a.value == b.value;
    return a.scheme == b.scheme && a.present == b.present && a.bytes == b.bytes && same(a.errorEnergy, b.errorEnergy)
        && sameValue;
}

ComparedTotals totalsOf(
    const ModelCatalog& model, const ComparedSide& side, const std::vector<double>& energy, ErrorMetric metric)
{
    ComparedTotals totals;
    const auto tied = tiedHead(model);
    for (std::size_t i = 0; i < model.tensors.size(); ++i) {
        const auto& tensor = side.tensors[i];
        totals.missing += tensor.present ? 0 : 1;
        totals.bytes += tensor.bytes;
        if (!model.tensors[i].quantizable || tied == i || !tensor.present)
            continue;
        if (std::isnan(tensor.errorEnergy) || std::isnan(energy[i]))
            ++totals.unknown;
        totals.errorEnergy += tensor.errorEnergy;
        totals.signalEnergy += energy[i];
        totals.value += tensor.value;
    }
    if (!addsUp(metric))
        totals.value = notANumber;
    totals.bitsPerWeight = static_cast<double>(totals.bytes) * 8.0 / static_cast<double>(model.parameters());
    return totals;
}

}  // namespace

double ComparedTotals::sqnrDb() const
{
    return decibels(signalEnergy, errorEnergy);
}

double Comparison::sqnrDb(std::size_t side, std::size_t tensor) const
{
    return decibels(signalEnergy[tensor], sides[side].tensors[tensor].errorEnergy);
}

ComparedSide comparedRecipe(
    const Recipe& recipe, const ModelCatalog& model, const StudySnapshot& study, ErrorMetric metric, std::string name)
{
    ComparedSide side {.name = std::move(name)};
    const auto context = metricContext(study);
    const auto tied = tiedHead(model);
    for (const auto& planned : resolve(recipe, model).tensors) {
        auto& tensor = side.tensors.emplace_back();
        tensor.bytes = planned.bytes;
        if (!planned.scheme) {
            tensor.errorEnergy = tensor.maxAbsError = tensor.value = 0.0;
            continue;
        }
        tensor.scheme = LayerPlan {*planned.scheme, planned.activations}.toString();
        if (tied == planned.tensor) {
            tensor.errorEnergy = tensor.value = 0.0;  // counted with the embedding
            continue;
        }
        const auto& all = study.of(model.tensors[planned.tensor].name);
        const auto measured = all.find(planned.scheme->toString());
        if (measured == all.end())
            continue;
        tensor.errorEnergy = measured->second->error.errorEnergy;
        tensor.maxAbsError = measured->second->error.maxAbsError;
        tensor.value = valueOf(metric, all, *measured->second, context);
    }
    return side;
}

ComparedSide comparedCheckpoint(const Audit& audit, const ModelCatalog& model, std::string name)
{
    ComparedSide side {.name = std::move(name), .extra = audit.extra};
    side.tensors.resize(model.tensors.size());
    for (auto& tensor : side.tensors)
        tensor.present = false;
    for (const auto& audited : audit.tensors) {
        const auto index = model.find(audited.original);
        if (!index || audited.verdict == AuditVerdict::Unreadable)
            continue;
        auto& tensor = side.tensors[*index];
        if (!tensor.present)
            tensor = {.bytes = 0, .errorEnergy = 0.0, .maxAbsError = 0.0};
        tensor.bytes += audited.bytes;
        tensor.errorEnergy += audited.error.errorEnergy;
        tensor.maxAbsError = std::max(tensor.maxAbsError, audited.error.maxAbsError);
        if (audited.verdict != AuditVerdict::Kept && tensor.scheme.find(audited.storedAs) == std::string::npos)
            tensor.scheme += (tensor.scheme.empty() ? "" : ", ") + audited.storedAs;
    }
    if (const auto tied = tiedHead(model); tied && !side.tensors[*tied].present)
        side.tensors[*tied] = {.bytes = 0, .errorEnergy = 0.0, .maxAbsError = 0.0};
    return side;
}

std::vector<double> auditedEnergy(const Audit& audit, const ModelCatalog& model)
{
    std::vector<double> energy(model.tensors.size(), notANumber);
    for (const auto& audited : audit.tensors)
        if (const auto index = model.find(audited.original); index && audited.verdict != AuditVerdict::Unreadable)
            energy[*index] = (std::isnan(energy[*index]) ? 0.0 : energy[*index]) + audited.error.signalEnergy;
    return energy;
}

Comparison compareSides(const ModelCatalog& model, const StudySnapshot& study, ErrorMetric metric, ComparedSide first,
    ComparedSide second, const std::vector<double>& auditedEnergy)
{
    Comparison comparison {.metric = metric, .sides = {std::move(first), std::move(second)}};
    for (std::size_t i = 0; i < model.tensors.size(); ++i) {
        const double known = signalEnergy(study, model.tensors[i].name);
        comparison.signalEnergy.push_back(std::isnan(known) && i < auditedEnergy.size() ? auditedEnergy[i] : known);
        if (!isAlike(comparison.sides[0].tensors[i], comparison.sides[1].tensors[i]))
            comparison.different.push_back(i);
    }
    for (std::size_t side = 0; side < 2; ++side)
        comparison.totals[side] = totalsOf(model, comparison.sides[side], comparison.signalEnergy, metric);
    return comparison;
}

}  // namespace quantloupe
