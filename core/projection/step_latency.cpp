// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/projection/step_latency.h"

#include <algorithm>

namespace quantloupe {
namespace {

double secondsOn(const std::vector<OperationCost>& costs, const DeviceProfile& device)
{
    double seconds = 0.0;
    for (const auto& cost : costs)
        seconds += onDevice(cost, device).seconds;
    return seconds;
}

}  // namespace

/// A cost on a device. An operand type that the device cannot compute at all never ends.
RooflinePoint onDevice(const OperationCost& cost, const DeviceProfile& device)
{
    RooflinePoint point {std::string(cost.name), cost.totalOperations(), cost.bytes, 0.0, true};
    const double moving = cost.bytes / (device.memoryBandwidth.value * device.bandwidthEfficiency.value);
    double computing = 0.0;
    for (const auto& [type, count] : cost.operations)
        if (count > 0.0)
            computing += count / (device.rateFor(type) * device.computeEfficiency.value);
    point.memoryBound = moving >= computing;
    point.seconds = std::max(moving, computing);
    return point;
}

Pass decodePass(const ModelFigures& figures, const Workload& workload)
{
    const double context = double(workload.context), batch = double(workload.batch);
    const double cached = figures.slidingWindow > 0 ? std::min(context, double(figures.slidingWindow)) : context;
    return {.tokens = batch,
        .heads = batch,
        .attendedTokens = cached * batch,
        .cacheBytes = double(figures.cachedPerToken) * workload.keyValueBits / 8.0 * cached * batch};
}

StepLatency::StepLatency(const ModelCatalog& model, const DeviceProfile& device, const Workload& workload)
    : m_model(&model)
    , m_device(&device)
    , m_figures(figuresOf(model))
    , m_pass(decodePass(m_figures, workload))
    , m_standsForHead(embeddingStandsForHead(model, unquantizedPlan(model)))
{
}

double StepLatency::secondsOf(const PlannedTensor& planned) const
{
    return secondsOn(operationCosts(*m_model, planned, m_figures, m_pass, m_standsForHead), *m_device);
}

double StepLatency::secondsOfCache() const
{
    return secondsOn(operationCosts(*m_model, Plan {}, m_figures, m_pass), *m_device);
}

double StepLatency::secondsOf(const Plan& plan) const
{
    double seconds = secondsOfCache();
    for (const auto& planned : plan.tensors)
        seconds += secondsOf(planned);
    return seconds;
}

}  // namespace quantloupe
