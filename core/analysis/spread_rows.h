// SPDX-License-Identifier: GPL-3.0-or-later
// Which rows stand for a tensor. For use inside this room.
#pragma once

#include "core/tensor/tensor_view.h"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace quantloupe {

/// Rows in whole bands of `bandRows`, evenly spaced over the matrix, ascending: about so many weights, at least one
/// band, at most all rows. @pre the matrix is not empty, bandRows > 0
inline std::vector<std::uint64_t> spreadRows(const MatrixShape& shape, std::uint64_t bandRows, std::uint64_t weights)
{
    const auto allBands = (shape.rows + bandRows - 1) / bandRows;
    const auto bands = std::clamp<std::uint64_t>(weights / shape.columns / bandRows, 1, allBands);
    std::vector<std::uint64_t> rows;
    for (std::uint64_t band = 0; band < bands; ++band) {
        const auto first = band * allBands / bands * bandRows;
        for (auto row = first; row < std::min(first + bandRows, shape.rows); ++row)
            rows.push_back(row);
    }
    return rows;
}

}  // namespace quantloupe
