// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/allocation_budget.h"

#include "app/cli/output.h"

#include "core/projection/step_latency.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <memory>

namespace quantloupe::cli {
namespace {

/// "4.5bpw", "6GiB", "20ms": a number and its unit.
struct Quantity {
    enum class Kind { BitsPerWeight, Bytes, Milliseconds };
    Kind kind = Kind::Bytes;
    double value = 0.0;
};

std::optional<Quantity> parseQuantity(const std::string& text)
{
    double number = 0.0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const std::string unit(end, text.data() + text.size());
    if (error != std::errc() || !(number > 0.0) || !std::isfinite(number))
        return std::nullopt;
    using Kind = Quantity::Kind;
    constexpr struct {
        const char* name;
        Kind kind;
        double factor;
    } units[] = {{"bpw", Kind::BitsPerWeight, 1.0}, {"us", Kind::Milliseconds, 1e-3}, {"ms", Kind::Milliseconds, 1.0},
        {"s", Kind::Milliseconds, 1e3}, {"", Kind::Bytes, 1.0}, {"B", Kind::Bytes, 1.0}, {"kB", Kind::Bytes, 1e3},
        {"MB", Kind::Bytes, 1e6}, {"GB", Kind::Bytes, 1e9}, {"KiB", Kind::Bytes, 1024.0},
        {"MiB", Kind::Bytes, 1048576.0}, {"GiB", Kind::Bytes, 1073741824.0}};
    for (const auto& [name, kind, factor] : units)
        if (unit == name)
            return Quantity {kind, number * factor};
    return std::nullopt;
}

/// Milliseconds of a decode step. Keeps its own copies of all but the model.
AllocationLimit latencyLimit(const ModelCatalog& model, const Recipe& base, const DeviceProfile& device,
    const Workload& workload, double milliseconds)
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
    const auto known = std::make_shared<Known>(model, base, device, workload);
    return {.kind = AllocationLimit::Kind::TotalCost,
        .value = milliseconds,
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
        .unit = "ms per step on " + device.name};
}

Result<AllocationLimit> memoryLimit(const DeviceProfile& device, const Workload& workload, const ModelCatalog& model)
{
    const auto needed = project(model, unquantizedPlan(model), device, workload);
    const double rest = static_cast<double>(needed.keyValueBytes) + static_cast<double>(needed.activationBytes);
    if (rest >= device.memoryBytes.value)
        return usageError("--device " + device.id,
            "cache and activations of " + std::to_string(workload.context) + " tokens alone take " + byteText(rest)
                + " of its " + byteText(device.memoryBytes.value));
    return AllocationLimit {.value = device.memoryBytes.value - rest};
}

}  // namespace

void addBudgetOptions(CLI::App& command, BudgetOptions& options)
{
    command.add_option("--budget", options.budget, "Size of the model (4.5bpw, 6GiB), or time per token (20ms)")
        ->type_name("SIZE|TIME");
    command.add_option("--max-kl", options.maxKl, "Summed divergence, instead of a budget: fewest bytes")
        ->type_name("NATS")
        ->check(CLI::NonNegativeNumber);
    command
        .add_option("--device", options.device,
            "Device by its id, or a profile file: without a budget, as much as fits its memory")
        ->type_name("DEVICE");
    command.add_option("--device-context", options.workload.context, "Tokens in the KV cache on the device")
        ->type_name("TOKENS")
        ->check(CLI::Range(std::uint64_t {1}, std::uint64_t {100'000'000}))
        ->capture_default_str();
    command.add_option("--batch", options.workload.batch, "Sequences decoded together on the device")
        ->type_name("N")
        ->check(CLI::Range(std::uint64_t {1}, std::uint64_t {1'000'000}))
        ->capture_default_str();
}

Result<Budget> budgetOf(
    const Session& session, const BudgetOptions& options, const ModelCatalog& model, const Recipe& base)
{
    if (options.maxKl && !options.budget.empty())
        return usageError("--budget", "give a budget (4.5bpw, 6GiB, 20ms) or --max-kl, one of them");
    if (!options.maxKl && options.budget.empty() && options.device.empty())
        return usageError("--budget", "give a budget (4.5bpw, 6GiB), a --device to fit on, or --max-kl");
    if (options.maxKl && !std::isfinite(*options.maxKl))
        return usageError("--max-kl", "is no number of nats");
    Budget budget;
    budget.workload = workloadUnder(base, model, options.workload);
    if (!options.device.empty()) {
        auto device = findDevice(session, options.device);
        if (!device)
            return tl::unexpected(device.error());
        budget.device = std::move(*device);
    }
    if (options.maxKl) {
        budget.option = "--max-kl";
        budget.limit = {AllocationLimit::Kind::TotalError, *options.maxKl};
        return budget;
    }
    if (options.budget.empty()) {
        budget.option = "--device " + options.device;
        auto limit = memoryLimit(*budget.device, budget.workload, model);
        if (!limit)
            return tl::unexpected(limit.error());
        budget.limit = std::move(*limit);
        return budget;
    }
    budget.option = "--budget " + options.budget;
    const auto quantity = parseQuantity(options.budget);
    if (!quantity)
        return usageError(
            budget.option, "write bits per weight (4.5bpw), a size (6GiB, 180MB, 1000000) or a time (20ms)");
    using Kind = Quantity::Kind;
    if (quantity->kind == Kind::Milliseconds) {
        if (!budget.device)
            return usageError(budget.option, "is a time per token: name the --device it is meant for");
        budget.limit = latencyLimit(model, base, *budget.device, budget.workload, quantity->value);
        return budget;
    }
    budget.limit.value = quantity->kind == Kind::Bytes
        ? quantity->value
        : quantity->value * static_cast<double>(model.parameters()) / 8.0;
    return budget;
}

}  // namespace quantloupe::cli
