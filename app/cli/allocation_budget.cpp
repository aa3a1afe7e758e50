// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/allocation_budget.h"

#include <charconv>
#include <cmath>

namespace quantloupe::cli {
namespace {

/// "4.5bpw", "6GiB", "20ms": a number and its unit.
std::optional<AllocationBudget> parseQuantity(const std::string& text)
{
    double number = 0.0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const std::string unit(end, text.data() + text.size());
    if (error != std::errc() || !(number > 0.0) || !std::isfinite(number))
        return std::nullopt;
    using Kind = AllocationBudget::Kind;
    constexpr struct {
        const char* name;
        Kind kind;
        double factor;
    } units[] = {{"bpw", Kind::BitsPerWeight, 1.0}, {"us", Kind::StepTime, 1e-3}, {"ms", Kind::StepTime, 1.0},
        {"s", Kind::StepTime, 1e3}, {"", Kind::Size, 1.0}, {"B", Kind::Size, 1.0}, {"kB", Kind::Size, 1e3},
        {"MB", Kind::Size, 1e6}, {"GB", Kind::Size, 1e9}, {"KiB", Kind::Size, 1024.0}, {"MiB", Kind::Size, 1048576.0},
        {"GiB", Kind::Size, 1073741824.0}};
    for (const auto& [name, kind, factor] : units)
        if (unit == name)
            return AllocationBudget {.kind = kind, .value = number * factor};
    return std::nullopt;
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
    using Kind = AllocationBudget::Kind;
    Budget budget;
    auto& wanted = budget.wanted;
    if (options.maxKl) {
        budget.option = "--max-kl";
        wanted = {.kind = Kind::Divergence, .value = *options.maxKl};
    } else if (options.budget.empty()) {
        budget.option = "--device " + options.device;
        wanted.kind = Kind::DeviceMemory;
    } else {
        budget.option = "--budget " + options.budget;
        const auto quantity = parseQuantity(options.budget);
        if (!quantity)
            return usageError(
                budget.option, "write bits per weight (4.5bpw), a size (6GiB, 180MB, 1000000) or a time (20ms)");
        wanted = *quantity;
    }
    wanted.workload = workloadUnder(base, model, options.workload);
    if (!options.device.empty()) {
        auto device = findDevice(session, options.device);
        if (!device)
            return tl::unexpected(device.error());
        wanted.device = std::move(*device);
    }
    if (wanted.kind == Kind::StepTime && !wanted.device)
        return usageError(budget.option, "is a time per token: name the --device it is meant for");
    if (wanted.kind == Kind::DeviceMemory)
        wanted.value = wanted.device->memoryBytes.value;
    auto limit = limitOf(wanted, model, base);
    if (!limit)
        return usageError(budget.option, limit.error().reason);
    budget.limit = std::move(*limit);
    return budget;
}

}  // namespace quantloupe::cli
