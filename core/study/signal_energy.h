// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/study/study.h"

#include <cstdint>
#include <string>

namespace quantloupe {

/// Σw² over the quantizable tensors that the study knows, whatever a recipe keeps: the one denominator of relative
/// errors, so that recipes compare. A tied output head counts once. NaN when nothing is known.
double signalEnergy(const StudySnapshot& study);

/// Σw² of one tensor. NaN when the study never looked at it.
double signalEnergy(const StudySnapshot& study, const std::string& tensor);

/// Bytes of the model as stored, a tied output head once.
std::uint64_t unquantizedBytes(const ModelCatalog& model);

}  // namespace quantloupe
