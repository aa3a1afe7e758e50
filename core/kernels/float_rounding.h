// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/kernels/unit_grid.h"

#include <cstdint>
#include <span>

namespace quantloupe::kernels {

/// Binary floating formats with one sign bit, rounded to nearest, ties to even, by integer arithmetic.
/// Half and BrainHalf keep infinities and NaN (quieted, payload cut) and overflow to infinity; no scale.
/// The others saturate, and NaN counts as +0:
/// - E4M3 (largest 448), E5M2 (57,344): ŵ = grid.scale · round(w · grid.zero): the grid holds the factor of decoding
///   and the factor of encoding, of which only the first is stored;
/// - E2M3 (7.5), E3M2 (28), E2M1 (6), which have neither infinity nor NaN, and Power3 … Power5, which have no mantissa
///   (largest 1, levels 2⁻ᵏ and 0; ties between powers go up): ŵ = grid.scale · round(w / grid.scale).
/// Source: OCP 8-bit Floating Point Specification 1.0, OCP Microscaling Formats 1.0; IEEE 754-2008.
enum class FloatKind : std::uint8_t { Half, BrainHalf, E4M3, E5M2, E2M3, E3M2, E2M1, Power3, Power4, Power5 };

/// Exact: every target returns the bits of the reference. Zeros keep their sign.
/// Returns how many finite weights overflowed or saturated.
/// @pre spans hold whole rows; grids as in integer_grid.h, not looked at for Half and BrainHalf. out may be rows.
std::uint64_t floatFakeQuantize(FloatKind kind, std::span<const float> rows, const UnitShape& shape,
    std::span<const UnitGrid> grids, std::span<float> out);
std::uint64_t floatFakeQuantizeReference(FloatKind kind, std::span<const float> rows, const UnitShape& shape,
    std::span<const UnitGrid> grids, std::span<float> out);

/// Bit patterns.
void floatEncode(FloatKind kind, std::span<const float> rows, const UnitShape& shape, std::span<const UnitGrid> grids,
    std::span<std::uint32_t> codes);
void floatEncodeReference(FloatKind kind, std::span<const float> rows, const UnitShape& shape,
    std::span<const UnitGrid> grids, std::span<std::uint32_t> codes);

/// One obvious loop without vectors: decoding codes is no hot path.
void floatDecode(FloatKind kind, std::span<const std::uint32_t> codes, const UnitShape& shape,
    std::span<const UnitGrid> grids, std::span<float> out);

/// One bit pattern as a number, NaN and infinity codes included.
float floatOfCode(FloatKind kind, std::uint32_t code);

}  // namespace quantloupe::kernels
