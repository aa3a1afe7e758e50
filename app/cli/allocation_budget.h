// SPDX-License-Identifier: GPL-3.0-or-later
// What `allocate` may spend: bytes, bits per weight, a device's memory, time per token, or divergence.
#pragma once

#include "app/cli/inputs.h"

#include "core/report/budget.h"

#include <optional>
#include <string>

namespace quantloupe::cli {

struct BudgetOptions {
    std::string budget, device;
    std::optional<double> maxKl {};
    Workload workload {};
};

void addBudgetOptions(CLI::App& command, BudgetOptions& options);

struct Budget {
    AllocationBudget wanted {};  ///< its device, where one was given, is where the recipe is to run
    AllocationLimit limit {};
    std::string option {};  ///< what set it, for errors: "--budget 4bpw"
};

/// `base`: the recipe whose activations and cache stay. The limit borrows the model. Errors: usage, naming the option.
Result<Budget> budgetOf(
    const Session& session, const BudgetOptions& options, const ModelCatalog& model, const Recipe& base);

}  // namespace quantloupe::cli
