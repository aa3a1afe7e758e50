// SPDX-License-Identifier: GPL-3.0-or-later
// Which tensors are to be measured under which schemes, and their measuring.
#pragma once

#include "app/cli/session.h"

#include "core/analysis/analyze.h"
#include "core/study/study.h"

#include <cstdint>
#include <string>
#include <vector>

namespace quantloupe::cli {

/// What is asked for, and what of it a study does not hold yet.
struct Assignment {
    std::vector<std::size_t> tensors;  ///< in file order
    std::vector<std::string> schemes;  ///< canonical, in the order given
    std::vector<WorkUnit> work;
    std::uint64_t already = 0;  ///< results found in the study
};

/// Every quantizable tensor that --tensors names, under each scheme. What a study knows is not measured again where it
/// was weighed and calibrated alike.
Assignment assign(
    const Session& session, const Model& model, const std::vector<Scheme>& schemes, const StudySnapshot& known);

/// Works through what is missing; each finished tensor is durable in the study soon after, before another that is not
/// small begins, or added to `found` where there is no study. Errors: those of analyze() and of the study.
Result<void> measure(
    const Session& session, const Model& model, const Assignment& assignment, Study* study, StudySnapshot& found);

}  // namespace quantloupe::cli
