// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/study/error_metric.h"

#include "core/base/not_a_number.h"
#include "core/study/signal_energy.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>

namespace quantloupe {

namespace {

/// The KL measured at one scheme of the tensor, scaled by what the outputs lose.
double onePointKl(
    const SchemeMeasurements& all, const SchemeMeasurement& measurement, const std::string& measuredScheme)
{
    const auto found = all.find(measuredScheme);
    if (found == all.end() || !found->second->divergence.known() || !measurement.outputError.known())
        return notANumber;
    const auto& reference = *found->second;
    return reference.outputError.energy > 0.0
        ? reference.divergence.mean * measurement.outputError.energy / reference.outputError.energy
        : notANumber;
}

template<class Count>
void forEachMeasurement(const StudySnapshot& study, const Count& count)
{
    for (const CatalogTensor& tensor : study.model.tensors) {
        const auto& all = study.of(tensor.name);
        for (const auto& [name, measurement] : all)
            count(name, all, *measurement);
    }
}

}  // namespace

std::span<const ErrorMetric> allErrorMetrics()
{
    static constexpr std::array all {ErrorMetric::Sqnr, ErrorMetric::RelativeError, ErrorMetric::MeanSquared,
        ErrorMetric::MaxAbs, ErrorMetric::ModelError, ErrorMetric::OutputError, ErrorMetric::Fisher, ErrorMetric::Kfac,
        ErrorMetric::OnePointKl, ErrorMetric::MeasuredKl};
    return all;
}

std::string_view nameOf(ErrorMetric metric)
{
    switch (metric) {
    case ErrorMetric::Sqnr: return "sqnr";
    case ErrorMetric::RelativeError: return "relative_error";
    case ErrorMetric::MeanSquared: return "mse";
    case ErrorMetric::MaxAbs: return "max_abs_error";
    case ErrorMetric::ModelError: return "model_error";
    case ErrorMetric::OutputError: return "output_error";
    case ErrorMetric::Fisher: return "fisher";
    case ErrorMetric::Kfac: return "kfac";
    case ErrorMetric::OnePointKl: return "one_point_kl";
    case ErrorMetric::MeasuredKl: return "measured_kl";
    }
    return "sqnr";
}

std::optional<ErrorMetric> metricNamed(std::string_view name)
{
    const auto all = allErrorMetrics();
    const auto found = std::find_if(all.begin(), all.end(), [&](ErrorMetric metric) { return nameOf(metric) == name; });
    return found == all.end() ? std::nullopt : std::optional(*found);
}

bool predictsKl(ErrorMetric metric)
{
    return metric == ErrorMetric::Fisher || metric == ErrorMetric::Kfac || metric == ErrorMetric::OnePointKl
        || metric == ErrorMetric::MeasuredKl;
}

bool addsUp(ErrorMetric metric)
{
    return metric == ErrorMetric::ModelError || predictsKl(metric);
}

bool higherIsBetter(ErrorMetric metric)
{
    return metric == ErrorMetric::Sqnr;
}

MetricContext metricContext(const StudySnapshot& study)
{
    MetricContext context {.signalEnergy = signalEnergy(study)};
    std::map<std::string, std::size_t> counts;
    forEachMeasurement(study, [&](const std::string& scheme, const auto&, const SchemeMeasurement& measurement) {
        if (measurement.divergence.known())
            ++counts[scheme];
    });
    const auto most = std::max_element(
        counts.begin(), counts.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    if (most != counts.end())
        context.measuredScheme = most->first;
    return context;
}

double valueOf(ErrorMetric metric, const SchemeMeasurements& all, const SchemeMeasurement& measurement,
    const MetricContext& context)
{
    const auto& error = measurement.error;
    if (error.count == 0)
        return notANumber;
    switch (metric) {
    case ErrorMetric::Sqnr: return error.sqnrDb();
    case ErrorMetric::RelativeError: return error.relativeError();
    case ErrorMetric::MeanSquared: return error.mse();
    case ErrorMetric::MaxAbs: return error.maxAbsError;
    case ErrorMetric::ModelError:
        return context.signalEnergy > 0.0 ? error.errorEnergy / context.signalEnergy : notANumber;
    case ErrorMetric::OutputError: return measurement.outputError.relative();
    case ErrorMetric::Fisher: return measurement.predicted.fisher >= 0.0 ? measurement.predicted.fisher : notANumber;
    case ErrorMetric::Kfac: return measurement.predicted.kfac >= 0.0 ? measurement.predicted.kfac : notANumber;
    case ErrorMetric::OnePointKl: return onePointKl(all, measurement, context.measuredScheme);
    case ErrorMetric::MeasuredKl: return measurement.divergence.known() ? measurement.divergence.mean : notANumber;
    }
    return notANumber;
}

std::vector<ErrorMetric> knownMetrics(const StudySnapshot& study)
{
    const auto context = metricContext(study);
    std::vector<ErrorMetric> known;
    for (const auto metric : allErrorMetrics()) {
        bool any = false;
        forEachMeasurement(
            study, [&](const auto&, const SchemeMeasurements& all, const SchemeMeasurement& measurement) {
                any = any || !std::isnan(valueOf(metric, all, measurement, context));
            });
        if (any)
            known.push_back(metric);
    }
    return known;
}

ErrorMetric bestMetric(const StudySnapshot& study)
{
    const auto context = metricContext(study);
    static constexpr std::array best {ErrorMetric::MeasuredKl, ErrorMetric::Kfac, ErrorMetric::OnePointKl};
    std::array<std::size_t, best.size()> counts {};
    std::size_t total = 0;
    forEachMeasurement(study, [&](const auto&, const SchemeMeasurements& all, const SchemeMeasurement& measurement) {
        ++total;
        for (std::size_t i = 0; i < best.size(); ++i)
            counts[i] += std::isnan(valueOf(best[i], all, measurement, context)) ? 0 : 1;
    });
    for (std::size_t i = 0; i < best.size(); ++i)
        if (2 * counts[i] > total)
            return best[i];
    return ErrorMetric::ModelError;
}

std::optional<std::string> referenceScheme(const StudySnapshot& study)
{
    struct Total {
        std::size_t tensors = 0;
        double error = 0.0;
    };
    std::map<std::string, Total> totals;
    for (const CatalogTensor& tensor : study.model.tensors) {
        for (const auto& [name, measurement] : study.of(tensor.name)) {
            Total& total = totals[name];
            ++total.tensors;
            total.error += measurement->error.errorEnergy;
        }
    }
    const auto best = std::max_element(totals.begin(), totals.end(), [](const auto& left, const auto& right) {
        return std::pair(left.second.tensors, left.second.error) < std::pair(right.second.tensors, right.second.error);
    });
    return best == totals.end() ? std::nullopt : std::optional(best->first);
}

std::vector<std::size_t> measuredInDepthOrder(const StudySnapshot& study)
{
    const auto& tensors = study.model.tensors;
    // Files list the output head now first, now last; what a reader expects is the way of the data.
    const auto depth = [](const CatalogTensor& tensor) {
        if (tensor.parts.block)
            return static_cast<std::uint64_t>(*tensor.parts.block) + 1;
        const TensorRole role = tensor.parts.role;
        return role == TensorRole::Embedding || role == TensorRole::Position
            ? std::uint64_t {0}
            : std::numeric_limits<std::uint64_t>::max();
    };
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        if (!study.of(tensors[i].name).empty())
            order.push_back(i);
    }
    std::stable_sort(order.begin(), order.end(),
        [&](std::size_t left, std::size_t right) { return depth(tensors[left]) < depth(tensors[right]); });
    return order;
}

}  // namespace quantloupe
