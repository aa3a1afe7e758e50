// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <span>

namespace quantloupe::kernels {

/// How a row is rotated: `blocks` pieces of outer·inner weights one after the other, each by the orthogonal matrix
/// R = (H ⊗ S)/√(outer·inner), H a Hadamard matrix of order `outer`, S Sylvester's of order `inner` in natural order.
struct HadamardShape {
    std::size_t blocks = 1;
    std::size_t outer = 1;  ///< 1, or a multiple of 4
    std::size_t inner = 1;  ///< a power of two

    std::size_t blockLength() const { return outer * inner; }
    std::size_t columns() const { return blocks * outer * inner; }
    bool operator==(const HadamardShape&) const = default;
};

/// Doubles of scratch space that hadamardRotate() needs.
constexpr std::size_t hadamardScratch(const HadamardShape& shape)
{
    return 2 * shape.outer * shape.inner;
}

/// out = row · R, in double, rounded to float once: a fast Walsh–Hadamard transform of each run of `inner` weights,
/// then H across the runs. Weights that are not finite count as 0; results beyond float's range are held at its ends.
/// S is symmetric, so with the transpose of H the same function is row · Rᵀ, the way back.
/// signs: H as ±1, row-major [outer][outer]; not looked at if outer is 1. Every target returns the bits of the
/// reference.
/// @pre row and out hold shape.columns() floats (may be the same), scratch hadamardScratch(shape) doubles
void hadamardRotate(std::span<const float> row, const HadamardShape& shape, std::span<const double> signs,
    std::span<double> scratch, std::span<float> out);
void hadamardRotateReference(std::span<const float> row, const HadamardShape& shape, std::span<const double> signs,
    std::span<double> scratch, std::span<float> out);

}  // namespace quantloupe::kernels
