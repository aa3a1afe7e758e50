// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/model/rotary_order.h"

namespace quantloupe {

std::vector<std::uint64_t> rowsInOtherRotaryOrder(std::uint64_t rows, std::uint64_t headDimension, RotaryOrder wanted)
{
    const auto half = headDimension / 2;
    std::vector<std::uint64_t> places(static_cast<std::size_t>(rows));
    for (std::uint64_t row = 0; row < rows; ++row) {
        const auto head = row / headDimension * headDimension, j = row % headDimension;
        places[static_cast<std::size_t>(row)] =
            head + (wanted == RotaryOrder::Halves ? j % half * 2 + j / half : j / 2 + j % 2 * half);
    }
    return places;
}

}  // namespace quantloupe
