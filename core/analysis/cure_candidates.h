// SPDX-License-Identifier: GPL-3.0-or-later
// Which schemes may do better than another. For use inside this room.
#pragma once

#include "core/algorithms/combinations.h"
#include "core/analysis/cures.h"
#include "core/tensor/tensor_view.h"

#include <vector>

namespace quantloupe {

struct CureCandidate {
    CureKind kind = CureKind::AnotherScheme;
    Scheme scheme {};
};

/// Schemes to try in the place of `scheme` on a matrix of this shape: all built, each once, in a fixed order.
std::vector<CureCandidate> cureCandidates(
    const Scheme& scheme, const MatrixShape& shape, Calibration calibration = Calibration::Absent);

}  // namespace quantloupe
