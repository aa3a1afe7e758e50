// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/projection/projection.h"

#include "core/projection/operation_costs.h"
#include "core/projection/step_latency.h"

#include <algorithm>
#include <cmath>

namespace quantloupe {
namespace {

constexpr double kActivationBytes = 2.0;  // FP16 between operations
constexpr double kLogitBytes = 4.0;

struct Step {
    std::vector<RooflinePoint> points;
    double seconds = 0.0, bytes = 0.0, operations = 0.0;
    bool memoryBound = true;  ///< most of the time goes to operations that memory bounds
};

Step runStep(const std::vector<OperationCost>& costs, const DeviceProfile& device)
{
    Step step;
    double memorySeconds = 0.0;
    for (const auto& cost : costs) {
        auto point = onDevice(cost, device);
        step.seconds += point.seconds;
        step.bytes += point.bytes;
        step.operations += point.operations;
        memorySeconds += point.memoryBound ? point.seconds : 0.0;
        step.points.push_back(std::move(point));
    }
    step.memoryBound = 2.0 * memorySeconds >= step.seconds;
    return step;
}

double activationBytes(const ModelFigures& figures, const Workload& workload)
{
    const double experts = double(std::max<std::uint64_t>(1, figures.expertsPerToken));
    const double attention = double(figures.queryWidth) + 2.0 * double(figures.keyValueWidth);
    const double mlp = 2.0 * std::max(double(figures.intermediate), double(figures.expertIntermediate) * experts);
    const double tokens = double(workload.context) * double(workload.batch);
    const double block = figures.hidden > 0
        ? kActivationBytes * tokens * (2.0 * double(figures.hidden) + std::max(attention, mlp))
        : 0.0;
    return block + kLogitBytes * double(workload.batch) * double(figures.vocabulary);
}

/// Sum over the tokens of one prompt of the tokens each attends to, itself included.
double attendedInPrompt(double tokens, double window)
{
    const double ramp = std::min(tokens, window);
    return ramp * (ramp + 1.0) / 2.0 + (tokens - ramp) * window;
}

std::uint64_t wholeBytes(double bytes)
{
    return bytes < 1.8e19 ? static_cast<std::uint64_t>(std::ceil(bytes)) : UINT64_MAX;
}

}  // namespace

Workload workloadUnder(const Recipe& recipe, const ModelCatalog& model, Workload workload)
{
    if (recipe.keyValueCache) {
        const auto width = std::max<std::uint64_t>(figuresOf(model).keyValueWidth, 1);
        workload.keyValueBits =
            recipe.keyValueCache->bitsPerWeight({std::max<std::uint64_t>(workload.context, 1), width});
    }
    return workload;
}

Projection project(const ModelCatalog& model, const Plan& plan, const DeviceProfile& device, const Workload& workload)
{
    Projection projection;
    const auto figures = figuresOf(model);
    projection.assumptions = figures.assumptions;
    if (model.config.contextLength && workload.context > *model.config.contextLength)
        projection.assumptions.push_back("The context of " + std::to_string(workload.context)
            + " tokens is longer than the " + std::to_string(*model.config.contextLength) + " the model was made for.");

    const double context = double(workload.context), batch = double(workload.batch);
    const double window = figures.slidingWindow > 0 ? double(figures.slidingWindow) : context;
    const double cacheBytesPerToken = double(figures.cachedPerToken) * workload.keyValueBits / 8.0;
    const auto decode = decodePass(figures, workload);

    projection.weightsBytes = plan.bytes;
    projection.keyValueBytes = wholeBytes(decode.cacheBytes);
    projection.activationBytes = wholeBytes(activationBytes(figures, workload));
    projection.fits =
        double(projection.weightsBytes) + double(projection.keyValueBytes) + double(projection.activationBytes)
        <= device.memoryBytes.value;

    const auto decoded = runStep(operationCosts(model, plan, figures, decode), device);
    if (decoded.seconds > 0.0 && batch > 0.0) {
        projection.decodeTokensPerSecond = batch / decoded.seconds;
        projection.energyPerToken =
            (decoded.bytes * device.energyPerByte.value + decoded.operations * device.energyPerOperation.value
                + decoded.seconds * device.idlePower.value)
            / batch;
    }
    projection.decodeMemoryBound = decoded.memoryBound;
    projection.decodeOperations = decoded.points;

    // The prompt writes its cache once; attention inside it reads from on-chip memory, block by block.
    const Pass prefill {.tokens = context * batch,
        .heads = batch,
        .attendedTokens = attendedInPrompt(context, window) * batch,
        .cacheBytes = cacheBytesPerToken * context * batch};
    const auto prefilled = runStep(operationCosts(model, plan, figures, prefill), device);
    if (prefilled.seconds > 0.0)
        projection.prefillTokensPerSecond = context * batch / prefilled.seconds;
    projection.prefillMemoryBound = prefilled.memoryBound;
    return projection;
}

Plan unquantizedPlan(const ModelCatalog& model)
{
    Recipe recipe;
    recipe.keep = {"*"};
    return resolve(recipe, model);
}

}  // namespace quantloupe
