// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace quantloupe {

/// A Hadamard matrix of an order that is no power of two: entries ±1, row-major, rows orthogonal.
/// Order 4m with m odd, up to 1,024: Paley's first construction where 4m − 1 is a prime, his second where 2m − 1 is a
/// prime, four circulant matrices for m = 13, 25, 39, 43. Among them all orders that QuaRot knows (12, 20, 28, 36, 52,
/// 60, 108, 140, 156, 172; its 40 is 2 · 20). Other orders: empty.
/// Order 172 is the very matrix of QuaRot; others may differ from its by signs and order, which changes the rotated
/// weights and nothing in how good a rotation is.
/// Sources: Paley 1933; Williamson 1944 (172); Goethals and Seidel 1967 (the array that takes any circulants); QuaRot,
/// arXiv 2404.00456.
std::vector<std::int8_t> hadamardMatrix(std::size_t order);

}  // namespace quantloupe
