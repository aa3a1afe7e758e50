// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/analysis/analyze.h"

namespace quantloupe::tests {

inline WeightStatistics weightsOf(const ModelTensor& tensor)
{
    Progress progress;
    return measureWeights(tensor, {}, progress).value();
}

}  // namespace quantloupe::tests
