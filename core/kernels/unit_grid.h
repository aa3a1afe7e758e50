// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <span>

namespace quantloupe {

/// The parameters of one quantization unit (weights that share a scale). ŵ = scale·(code − zero) for integers;
/// other formats use what they need and say so in their file.
struct UnitGrid {
    float scale = 1.0F;
    float zero = 0.0F;
    bool operator==(const UnitGrid&) const = default;
};

namespace kernels {

/// How rows fall into units: unit u of a row covers columns [u·length, min((u+1)·length, columns)).
struct UnitShape {
    std::size_t columns = 0;
    std::size_t length = 0;  ///< @pre > 0
    bool shared = false;     ///< all units have one and the same grid, the first

    std::size_t unitsPerRow() const { return (columns + length - 1) / length; }
    std::size_t rows(std::size_t elements) const { return columns == 0 ? 0 : elements / columns; }
};

/// The grid of one element of whole rows.
inline const UnitGrid& gridAt(std::size_t element, const UnitShape& shape, std::span<const UnitGrid> grids)
{
    if (shape.shared)
        return grids[0];
    return grids[element / shape.columns * shape.unitsPerRow() + element % shape.columns / shape.length];
}

}  // namespace kernels
}  // namespace quantloupe
