// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/algorithms/hadamard_rotation.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace quantloupe {

/// Buffers of one task, reused from step to step.
struct TransformScratch {
    std::vector<float> rows {};
    std::vector<double> rotation {};
};

/// What is done to a matrix before it is quantized and undone afterwards, so that errors are seen where the weights
/// are: W′ = (D_rows · W · D_columns) · R, and back. Row by row; a value, safe to share between threads.
struct WeightTransform {
    std::vector<float> rowFactors {};     ///< one per row of the matrix, finite and > 0; empty: none
    std::vector<float> columnFactors {};  ///< one per column; empty: none
    std::optional<HadamardRotation> rotation {};

    bool isIdentity() const { return rowFactors.empty() && columnFactors.empty() && !rotation; }

    /// Whole rows from firstRow on, transformed: `rows` themselves if nothing is done to them, else scratch.rows.
    /// @pre columns > 0 divides rows.size()
    std::span<const float> apply(
        std::span<const float> rows, std::uint64_t firstRow, std::size_t columns, TransformScratch& scratch) const;
    /// Takes transformed and quantized rows back, in place.
    void undo(std::span<float> rows, std::uint64_t firstRow, std::size_t columns, TransformScratch& scratch) const;
};

}  // namespace quantloupe
