// SPDX-License-Identifier: GPL-3.0-or-later
// What `analyze --details` finds out beyond a measurement.
#pragma once

#include "app/cli/output.h"
#include "app/cli/session.h"

#include "core/analysis/findings.h"

#include <cstddef>
#include <string>
#include <vector>

namespace quantloupe::cli {

/// A result of an analysis: which tensor of the model, under which scheme, in canonical spelling.
struct ResultName {
    std::size_t tensor = 0;
    std::string scheme;
};

/// The keys to add to each of these results, in their order: each tensor is quantized once more, and with `withCures`
/// by everything that might help. `found` holds the statistics of their weights.
/// Errors: Cancelled, Truncated, Malformed.
Result<std::vector<Json>> resultDetails(const Session& session, const Model& model,
    const std::vector<ResultName>& results, const StudySnapshot& found, bool withCures);

/// The findings with cures that are tried on the tensors. Errors: Cancelled, Truncated.
Result<std::vector<Finding>> curedFindings(const Session& session, const Model& model, const StudySnapshot& found);

/// Null for none.
Json cureJson(const std::optional<Cure>& cure);

}  // namespace quantloupe::cli
