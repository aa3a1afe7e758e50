// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/report/budget.h"

#include "core/base/not_a_number.h"
#include "core/projection/step_latency.h"
#include "core/report/formatting.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace quantloupe {
namespace {

/// Keeps its own copies of all but the model.
AllocationLimit stepTimeLimit(const AllocationBudget& budget, const ModelCatalog& model, const Recipe& base)
{
    struct Known {
        DeviceProfile device;
        StepLatency latency;
        std::vector<std::optional<LayerPlan>> plans;
        Plan stored;
        std::map<std::string, Scheme> schemes {};

        Known(const ModelCatalog& model, const Recipe& base, const DeviceProfile& profile, const Workload& workload)
            : device(profile)
            , latency(model, device, workload)
            , plans(decide(base, model))
            , stored(unquantizedPlan(model))
        {
        }
    };
    const auto known = std::make_shared<Known>(model, base, *budget.device, budget.workload);
    return {.kind = AllocationLimit::Kind::TotalCost,
        .value = budget.value,
        .costOf =
            [known, &model](std::size_t tensor, const std::string& text) {
                auto planned = known->stored.tensors[tensor];
                if (text.empty())
                    return 1e3 * known->latency.secondsOf(planned);
                auto found = known->schemes.find(text);
                if (found == known->schemes.end())
                    found = known->schemes.emplace(text, Scheme::parse(text).value()).first;
                planned.scheme = found->second;
                planned.bytes = planned.scheme->storedBytes(model.tensors[tensor].matrix);
                if (const auto& plan = known->plans[tensor])
                    planned.activations = plan->activations;
                return 1e3 * known->latency.secondsOf(planned);
            },
        .fixedCost = 1e3 * known->latency.secondsOfCache(),
        .unit = "ms per step on " + known->device.name};
}

Result<AllocationLimit> memoryLimit(const AllocationBudget& budget, const ModelCatalog& model)
{
    const double rest = memoryBesideWeights(model, *budget.device, budget.workload);
    if (rest >= budget.value)
        return failure(ErrorCode::InvalidArgument, budget.device->name,
            "cache and activations of " + std::to_string(budget.workload.context) + " tokens alone take "
                + formatBytes(static_cast<std::uint64_t>(rest)) + " of its "
                + formatBytes(static_cast<std::uint64_t>(budget.value)));
    return AllocationLimit {.value = budget.value - rest};
}

double bytesPerBit(const ModelCatalog& model)
{
    return static_cast<double>(model.parameters()) / 8.0;
}

}  // namespace

double memoryBesideWeights(const ModelCatalog& model, const DeviceProfile& device, const Workload& workload)
{
    const auto needed = project(model, unquantizedPlan(model), device, workload);
    return static_cast<double>(needed.keyValueBytes) + static_cast<double>(needed.activationBytes);
}

Result<AllocationLimit> limitOf(const AllocationBudget& budget, const ModelCatalog& model, const Recipe& base)
{
    using Kind = AllocationBudget::Kind;
    switch (budget.kind) {
    case Kind::Size: break;
    case Kind::BitsPerWeight: return AllocationLimit {.value = budget.value * bytesPerBit(model)};
    case Kind::DeviceMemory: return memoryLimit(budget, model);
    case Kind::StepTime: return stepTimeLimit(budget, model, base);
    case Kind::Divergence: return AllocationLimit {.kind = AllocationLimit::Kind::TotalError, .value = budget.value};
    }
    return AllocationLimit {.value = budget.value};
}

double spentBy(const Plan& plan, const AllocationBudget& budget, const ModelCatalog& model)
{
    using Kind = AllocationBudget::Kind;
    switch (budget.kind) {
    case Kind::Size: break;
    case Kind::BitsPerWeight: return plan.bitsPerWeight;
    case Kind::DeviceMemory:
        return static_cast<double>(plan.bytes) + memoryBesideWeights(model, *budget.device, budget.workload);
    case Kind::StepTime: return 1e3 * StepLatency(model, *budget.device, budget.workload).secondsOf(plan);
    case Kind::Divergence: return notANumber;
    }
    return static_cast<double>(plan.bytes);
}

}  // namespace quantloupe
