// SPDX-License-Identifier: GPL-3.0-or-later
// What an allocated recipe really does to a text's predictions, and better ones near it.
#pragma once

#include "app/cli/output.h"
#include "app/cli/text_input.h"

#include "core/allocation/verify.h"
#include "core/inference/evaluate.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace quantloupe::cli {

struct CheckOptions {
    std::string text, model;
    std::optional<std::size_t> evaluations {};
    TextWindows window {.tokens = 8192};
    std::uint64_t memory = EvaluationLimits().memory;
};

void addCheckOptions(CLI::App& command, CheckOptions& options);

/// What is to be checked; everything borrowed.
struct AllocationToCheck {
    const std::string& studyPath;
    const StudyPointer& study;
    const Frontier& frontier;
    const AllocationLimit& limit;
    const Allocation& allocation;
    const Recipe& base;  ///< what the allocation does not decide
    ErrorMetric metric;
    /// The uniform recipe of at most so many bytes, to be measured too; absent: there is none.
    const std::function<std::optional<Recipe>(std::uint64_t bytes)>& rivalWithin;
    const std::optional<Recipe>& apart;  ///< the best whose fused tensors may differ, to be measured too
};

struct AllocationCheck {
    VerifiedAllocation verified;
    std::optional<MeasuredError> uniform {}, apart {};
    std::size_t predictions = 0;
    std::optional<bool> sameText {};  ///< as that of the divergences the sum is of; absent where it is of others

    const TriedChoice& first() const { return verified.tried.front(); }
    const TriedChoice& best() const { return verified.tried[verified.best]; }
};

/// Measures the divergence by weights alone. Errors: those of opening the model, Conflict (another model than the
/// study's), of reading the text and of verifyAllocation().
Result<AllocationCheck> checkAllocation(
    const Session& session, const CheckOptions& options, const AllocationToCheck& toCheck);

/// What came closest, where a limit of divergence does not hold as measured; nothing where it does.
std::optional<std::string> brokenLimit(const AllocationCheck& check, const AllocationLimit& limit);

Json checkJson(const AllocationCheck& check);
/// Sentences for people.
std::string checkText(const AllocationCheck& check, const AllocationLimit& limit, ErrorMetric metric);

}  // namespace quantloupe::cli
