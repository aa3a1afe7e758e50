// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/algorithms/weight_transform.h"

namespace quantloupe {

std::span<const float> WeightTransform::apply(
    std::span<const float> rows, std::uint64_t firstRow, std::size_t columns, TransformScratch& scratch) const
{
    if (isIdentity())
        return rows;
    scratch.rows.assign(rows.begin(), rows.end());
    for (std::size_t start = 0; start < rows.size(); start += columns) {
        const auto row = std::span(scratch.rows).subspan(start, columns);
        if (!rowFactors.empty()) {
            const float factor = rowFactors[static_cast<std::size_t>(firstRow) + start / columns];
            for (float& weight : row)
                weight *= factor;
        }
        if (!columnFactors.empty())
            for (std::size_t i = 0; i < columns; ++i)
                row[i] *= columnFactors[i];
    }
    if (rotation)
        rotation->apply(scratch.rows, scratch.rotation, scratch.rows);
    return scratch.rows;
}

void WeightTransform::undo(
    std::span<float> rows, std::uint64_t firstRow, std::size_t columns, TransformScratch& scratch) const
{
    if (rotation)
        rotation->undo(rows, scratch.rotation, rows);
    for (std::size_t start = 0; start < rows.size(); start += columns) {
        const auto row = rows.subspan(start, columns);
        if (!columnFactors.empty())
            for (std::size_t i = 0; i < columns; ++i)
                row[i] /= columnFactors[i];
        if (!rowFactors.empty()) {
            const float factor = rowFactors[static_cast<std::size_t>(firstRow) + start / columns];
            for (float& weight : row)
                weight /= factor;
        }
    }
}

}  // namespace quantloupe
