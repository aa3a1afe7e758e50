// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <span>

namespace quantloupe::kernels {

/// The largest value that each column of some rows has shown so far. The size of what is not finite is infinite, so
/// that it is larger than all else; of equals the first one stays. All are as long as the row is.
struct LargestInColumns {
    std::span<float> sizes;         ///< |value|; −1 before the first row
    std::span<float> values;        ///< what was kept beside it
    std::span<std::uint32_t> rows;  ///< which row it was in
};

/// Adds one row of weights: |weights[i]| decides, kept[i] is kept. @pre same size
void keepLargest(
    std::span<const float> weights, std::span<const float> kept, std::uint32_t row, const LargestInColumns& to);
void keepLargestReference(
    std::span<const float> weights, std::span<const float> kept, std::uint32_t row, const LargestInColumns& to);

/// The same for the errors weights[i] − quantized[i], which decide and are kept. @pre same size
void keepLargestErrors(
    std::span<const float> weights, std::span<const float> quantized, std::uint32_t row, const LargestInColumns& to);
void keepLargestErrorsReference(
    std::span<const float> weights, std::span<const float> quantized, std::uint32_t row, const LargestInColumns& to);

}  // namespace quantloupe::kernels
