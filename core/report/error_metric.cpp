// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/report/error_metric.h"

#include "core/base/not_a_number.h"

#include <algorithm>
#include <array>
#include <limits>
#include <map>

namespace quantloupe {

namespace {

}  // namespace

std::span<const ErrorMetric> allErrorMetrics()
{
    static constexpr std::array all {ErrorMetric::Sqnr, ErrorMetric::RelativeError, ErrorMetric::MeanSquared,
        ErrorMetric::MaxAbs, ErrorMetric::ModelError};
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
    }
    return "sqnr";
}

bool higherIsBetter(ErrorMetric metric)
{
    return metric == ErrorMetric::Sqnr;
}

double valueOf(ErrorMetric metric, const ErrorStatistics& error, double signalEnergy)
{
    if (error.count == 0)
        return notANumber;
    switch (metric) {
    case ErrorMetric::Sqnr: return error.sqnrDb();
    case ErrorMetric::RelativeError: return error.relativeError();
    case ErrorMetric::MeanSquared: return error.mse();
    case ErrorMetric::MaxAbs: return error.maxAbsError;
    case ErrorMetric::ModelError: return signalEnergy > 0.0 ? error.errorEnergy / signalEnergy : notANumber;
    }
    return notANumber;
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
