// SPDX-License-Identifier: GPL-3.0-or-later
// Sixteen fixed levels times the unit's absmax, as bitsandbytes has them (QLoRA, arXiv 2305.14314): nf4, quantiles of
// the normal distribution, whose codes are indices, and fp4_bnb, a float of a sign, two bits of exponent and one of
// mantissa, whose codes are bit patterns. grid.scale is the absmax, which is stored; grid.zero its reciprocal, with
// which encoding multiplies.
#include "core/kernels/code_book.h"
#include "core/number_formats/number_format.h"
#include "core/number_formats/stored_scale.h"

#include <algorithm>
#include <array>

namespace quantloupe::number_formats {
namespace {

constexpr std::array formats {Format::Nf4, Format::Fp4Bnb};

constexpr kernels::CodeBook16 nf4 {
    {-1.0F, -0.6961928009986877F, -0.5250730514526367F, -0.39491748809814453F, -0.28444138169288635F,
        -0.18477343022823334F, -0.09105003625154495F, 0.0F, 0.07958029955625534F, 0.16093020141124725F,
        0.24611230194568634F, 0.33791524171829224F, 0.44070982933044434F, 0.5626170039176941F, 0.7229568362236023F,
        1.0F},
    {-0.8480964004993439F, -0.6106329262256622F, -0.4599952697753906F, -0.33967943489551544F, -0.23460740596055984F,
        -0.13791173323988914F, -0.045525018125772476F, 0.03979014977812767F, 0.1202552504837513F, 0.2035212516784668F,
        0.2920137718319893F, 0.3893125355243683F, 0.5016634166240692F, 0.6427869920070482F, 0.8614784181118011F}};

// Sizes by the low three bits of a pattern, in twelfths; bit 3 is the sign. Two patterns mean zero.
constexpr std::array<float, 8> twelfths {0.0F, 0.0625F, 8.0F, 12.0F, 4.0F, 6.0F, 2.0F, 3.0F};
/// Patterns in ascending order of their values; of the two zeros the positive one is the lower, as a stable sort has
/// it.
constexpr std::array<std::uint32_t, 16> ascendingPatterns {11, 10, 13, 12, 15, 14, 9, 0, 8, 1, 6, 7, 4, 5, 2, 3};
constexpr std::array<std::uint32_t, 16> indexOfPattern = [] {
    std::array<std::uint32_t, 16> indices {};
    for (std::uint32_t i = 0; i < 16; ++i)
        indices[ascendingPatterns[i]] = i;
    return indices;
}();

constexpr kernels::CodeBook16 fp4 = [] {
    kernels::CodeBook16 book {};
    for (std::size_t i = 0; i < 16; ++i) {
        const float size = twelfths[ascendingPatterns[i] & 7U] / 12.0F;
        book.levels[i] = size != 0.0F && ascendingPatterns[i] > 8U ? -size : size;
    }
    for (std::size_t i = 0; i < 15; ++i)
        book.thresholds[i] = (book.levels[i] + book.levels[i + 1]) / 2.0F;
    return book;
}();

bool isFp4(const Scheme& scheme)
{
    return scheme.format == Format::Fp4Bnb;
}
const kernels::CodeBook16& bookOf(const Scheme& scheme)
{
    return isFp4(scheme) ? fp4 : nf4;
}

std::string refusal(const Scheme&)
{
    return {};
}
GridBasis basis(const Scheme&)
{
    return GridBasis::AbsMax;
}
UnitGrid gridOf(const Scheme& scheme, const UnitRange& range)
{
    const float absMax = range.high == 0.0F ? 0.0F : usableScale(scheme.scales, range.high, 1.0F);
    return {absMax, 1.0F / std::max(absMax, 1e-38F)};
}

std::uint64_t fakeQuantize(const Scheme& scheme, const kernels::UnitShape& shape, std::span<const float> rows,
    std::span<const UnitGrid> grids, std::span<float> out)
{
    return kernels::codeBookFakeQuantize(bookOf(scheme), rows, shape, grids, out);
}

void encode(const Scheme& scheme, const kernels::UnitShape& shape, std::span<const float> rows,
    std::span<const UnitGrid> grids, std::span<std::uint32_t> codes)
{
    kernels::codeBookEncode(bookOf(scheme), rows, shape, grids, codes);
    if (isFp4(scheme))
        for (std::uint32_t& code : codes)
            code = ascendingPatterns[code];
}

void decode(const Scheme& scheme, const kernels::UnitShape& shape, std::span<const std::uint32_t> codes,
    std::span<const UnitGrid> grids, std::span<float> out)
{
    if (!isFp4(scheme))
        return kernels::codeBookDecode(nf4, codes, shape, grids, out);
    for (std::size_t i = 0; i < codes.size(); ++i)
        out[i] = fp4.levels[indexOfPattern[codes[i]]] * kernels::gridAt(i, shape, grids).scale;
}

std::size_t codeCount(const Scheme&)
{
    return 16;
}

// Half of the widest gap: between −1 and −0.696, or 2/3 and 1.
double worstCaseError(const Scheme& scheme, double absMax)
{
    const ScaleStretch stretch = scaleStretch(scheme.scales);
    const double gap = isFp4(scheme) ? 1.0 / 3.0 : 1.0 - 0.6961928009986877;
    return absMax * (1.00001 * stretch.largest * 0.5 * gap + 1.0 - stretch.smallest);
}

constexpr GridMethods methods {basis, gridOf, fakeQuantize, encode, decode};

}  // namespace

extern const NumberFormat code_book;
const NumberFormat code_book {formats, refusal, codeCount, worstCaseError, &methods};

}  // namespace quantloupe::number_formats
