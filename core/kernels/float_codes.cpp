// SPDX-License-Identifier: GPL-3.0-or-later
// Decoding, and the slow references of float_rounding.cpp: in double, by the definition of the formats.
#include "core/kernels/float_rounding.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace quantloupe::kernels {
namespace {

struct Layout {
    int mantissaBits;
    int exponentBits;
    int bias;
    double largest;
    bool scaled;
    bool divides = false;  ///< by the scale, instead of multiplying with the factor
};

constexpr Layout layoutOf(FloatKind kind)
{
    switch (kind) {
    case FloatKind::Half: return {10, 5, 15, 65504.0, false};
    case FloatKind::BrainHalf: return {7, 8, 127, 3.3895313892515355e38, false};
    case FloatKind::E4M3: return {3, 4, 7, 448.0, true};
    case FloatKind::E5M2: return {2, 5, 15, 57344.0, true};
    case FloatKind::E2M3: return {3, 2, 1, 7.5, true, true};
    case FloatKind::E3M2: return {2, 3, 3, 28.0, true, true};
    case FloatKind::E2M1: return {1, 2, 1, 6.0, true, true};
    case FloatKind::Power3: return {0, 2, 3, 1.0, true, true};
    case FloatKind::Power4: return {0, 3, 7, 1.0, true, true};
    case FloatKind::Power5: return {0, 4, 15, 1.0, true, true};
    }
    return {};
}

// |y| rounded half to even on the layout's grid, without an upper end; every step is exact in double.
double roundedSize(double size, const Layout& layout)
{
    if (size == 0.0 || std::isinf(size))
        return size;
    const int exponent = std::max(std::ilogb(size), 1 - layout.bias);
    const double step = std::ldexp(1.0, exponent - layout.mantissaBits);
    return std::nearbyint(size / step) * step;
}

std::uint32_t codeOfSize(double size, const Layout& layout)
{
    const double smallestNormal = std::ldexp(1.0, 1 - layout.bias);
    if (size < smallestNormal)
        return static_cast<std::uint32_t>(std::ldexp(size, layout.bias - 1 + layout.mantissaBits));
    const int exponent = std::ilogb(size);
    const double fraction = std::ldexp(size, layout.mantissaBits - exponent) - std::ldexp(1.0, layout.mantissaBits);
    return (static_cast<std::uint32_t>(exponent + layout.bias) << static_cast<unsigned>(layout.mantissaBits))
        + static_cast<std::uint32_t>(fraction);
}

struct Encoded {
    std::uint32_t code;
    bool clamped;
};

Encoded encodeOne(FloatKind kind, float weight, const UnitGrid& grid)
{
    const Layout layout = layoutOf(kind);
    const auto mantissa = static_cast<unsigned>(layout.mantissaBits);
    const std::uint32_t full = ((1U << static_cast<unsigned>(layout.exponentBits)) - 1U) << mantissa;
    const auto signOf = [&](float value) {
        return (std::signbit(value) ? 1U : 0U) << (mantissa + static_cast<unsigned>(layout.exponentBits));
    };
    if (std::isnan(weight)) {
        if (layout.scaled)
            return {0, false};
        const std::uint32_t payload =
            std::bit_cast<std::uint32_t>(weight) >> (23U - mantissa) & ((1U << mantissa) - 1U);
        return {signOf(weight) | full | payload | 1U << (mantissa - 1U), false};
    }
    const float factored = layout.scaled ? weight * grid.zero : weight;
    const float scaled = layout.divides ? weight / grid.scale : factored;
    const double size = roundedSize(std::abs(static_cast<double>(scaled)), layout);
    if (size <= layout.largest)
        return {signOf(scaled) | codeOfSize(size, layout), false};
    const std::uint32_t end = layout.scaled ? codeOfSize(layout.largest, layout) : full;
    return {signOf(scaled) | end, std::isfinite(weight)};
}

}  // namespace

float floatOfCode(FloatKind kind, std::uint32_t code)
{
    const Layout layout = layoutOf(kind);
    const auto mantissaBits = static_cast<unsigned>(layout.mantissaBits);
    const auto exponentBits = static_cast<unsigned>(layout.exponentBits);
    const bool negative = (code >> (mantissaBits + exponentBits) & 1U) != 0;
    const std::uint32_t exponent = code >> mantissaBits & ((1U << exponentBits) - 1U);
    const std::uint32_t mantissa = code & ((1U << mantissaBits) - 1U);
    const bool fullExponent = exponent == (1U << exponentBits) - 1U;
    const bool special = kind == FloatKind::E4M3 ? fullExponent && mantissa == 7U : fullExponent && !layout.divides;
    if (special) {
        // The bits of NaN are kept: a fake-quantized NaN is the decoded one.
        const std::uint32_t sign = negative ? 0x80000000U : 0U;
        return std::bit_cast<float>(sign | 0x7F800000U | mantissa << (23U - mantissaBits));
    }
    const float size = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), 1 - layout.bias - layout.mantissaBits)
                                     : std::ldexp(static_cast<float>(mantissa + (1U << mantissaBits)),
                                         static_cast<int>(exponent) - layout.bias - layout.mantissaBits);
    return negative ? -size : size;
}

void floatDecode(FloatKind kind, std::span<const std::uint32_t> codes, const UnitShape& shape,
    std::span<const UnitGrid> grids, std::span<float> out)
{
    const bool scaled = layoutOf(kind).scaled;
    for (std::size_t i = 0; i < codes.size(); ++i) {
        const float value = floatOfCode(kind, codes[i]);
        out[i] = scaled ? value * gridAt(i, shape, grids).scale : value;
    }
}

std::uint64_t floatFakeQuantizeReference(FloatKind kind, std::span<const float> rows, const UnitShape& shape,
    std::span<const UnitGrid> grids, std::span<float> out)
{
    const bool scaled = layoutOf(kind).scaled;
    std::uint64_t clamped = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const UnitGrid grid = scaled ? gridAt(i, shape, grids) : UnitGrid {};
        const Encoded encoded = encodeOne(kind, rows[i], grid);
        const float value = floatOfCode(kind, encoded.code);
        out[i] = scaled ? value * grid.scale : value;
        clamped += encoded.clamped;
    }
    return clamped;
}

void floatEncodeReference(FloatKind kind, std::span<const float> rows, const UnitShape& shape,
    std::span<const UnitGrid> grids, std::span<std::uint32_t> codes)
{
    const bool scaled = layoutOf(kind).scaled;
    for (std::size_t i = 0; i < rows.size(); ++i)
        codes[i] = encodeOne(kind, rows[i], scaled ? gridAt(i, shape, grids) : UnitGrid {}).code;
}

}  // namespace quantloupe::kernels
