// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/base/zeroed_array.h"
#include "core/calibration/layer_inputs.h"

#include <cstddef>
#include <cstdint>
#include <stop_token>
#include <vector>

namespace quantloupe {

/// How GPTQ looks at the second moments H of a layer's inputs.
struct FactorOptions {
    double damping = 0.01;   ///< share of the diagonal's mean that is added to the diagonal
    bool byActivity = true;  ///< act-order: columns of large H_jj are rounded first
};

/// The upper triangular U with Uᵀ·U = H⁻¹ that tells GPTQ how the error of one column is made up for by the columns
/// after it. Depends on the inputs alone: one for all layers that read them.
struct InverseFactor {
    std::size_t columns = 0;
    std::vector<std::uint32_t> order {};  ///< the column of the layer at each position
    std::vector<bool> dead {};            ///< by column: its inputs were always 0
    ZeroedArray<float> upper {};          ///< columns × columns, row-major, by position; of H/scale, damped
    double scale = 1.0;                   ///< mean of H's diagonal, dead channels counting 1
    double damping = 0.0;                 ///< share of it that was added

    bool ordered() const;  ///< whether positions are the columns
    const float* row(std::size_t position) const { return upper.data() + position * columns; }
};

/// Factorizes the damped moments in double, in blocks that are spread over the threads of the caller's arena. U is
/// found as the inverse of the factor R of H = R·Rᵀ (R upper triangular), which is the same U as that of the Cholesky
/// factor of the inverse and half the work. Dead channels (H_jj = 0) get H_jj = 1, as in GPTQ. Where a factor does not
/// exist, ten times and a hundred times the damping are tried.
/// Errors: InvalidArgument (no moments, or not positive definite with any damping), Cancelled.
/// @pre checkLayerInputs(inputs)
Result<InverseFactor> inverseFactor(const LayerInputs& inputs, const FactorOptions& options, std::stop_token stop);

}  // namespace quantloupe
