// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/analysis/analyze.h"
#include "core/recipes/plan.h"
#include "core/study/study.h"

#include <cstdint>
#include <string>
#include <vector>

/// What the window would like to know.
struct Wishes {
    std::vector<quantloupe::Scheme> sweep;                           ///< for every quantizable tensor
    std::vector<std::pair<std::string, quantloupe::Scheme>> single;  ///< tensor, scheme
    std::vector<std::string> first;                                  ///< tensors to begin with
    /// By tensor, what is known of its inputs: what was measured without is measured again. Empty: nothing is known.
    std::vector<std::uint64_t> calibration {};
};

/// Schemes that a model is swept with when nobody chose others: from 8 bits down to 2, so that the trade-off has both
/// ends, with two group sizes and two float formats for comparison.
std::vector<quantloupe::Scheme> defaultSweep();

/// What of the wishes and of the plan's own schemes the study does not hold yet, most interesting tensors first: those
/// of `first`, then block by block from both ends of the model inwards (outer blocks suffer most), inside a block the
/// projections that write into the residual stream first; embedding and output head, large and mostly kept, come last.
std::vector<quantloupe::WorkUnit> pendingWork(const quantloupe::ModelCatalog& model,
    const quantloupe::StudySnapshot& study, const quantloupe::Plan& plan, const Wishes& wishes);
