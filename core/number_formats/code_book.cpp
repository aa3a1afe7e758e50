// SPDX-License-Identifier: GPL-3.0-or-later
// nf4: sixteen quantiles of the normal distribution times the unit's absmax (QLoRA, arXiv 2305.14314; bitsandbytes).
// grid.scale is the absmax, which is stored; grid.zero its reciprocal, with which encoding multiplies. Codes are
// indices.
#include "core/kernels/code_book.h"
#include "core/number_formats/number_format.h"

#include <algorithm>
#include <array>

namespace quantloupe::number_formats {
namespace {

constexpr std::array formats {Format::Nf4};

constexpr kernels::CodeBook16 nf4 {
    {-1.0F, -0.6961928009986877F, -0.5250730514526367F, -0.39491748809814453F, -0.28444138169288635F,
        -0.18477343022823334F, -0.09105003625154495F, 0.0F, 0.07958029955625534F, 0.16093020141124725F,
        0.24611230194568634F, 0.33791524171829224F, 0.44070982933044434F, 0.5626170039176941F, 0.7229568362236023F,
        1.0F},
    {-0.8480964004993439F, -0.6106329262256622F, -0.4599952697753906F, -0.33967943489551544F, -0.23460740596055984F,
        -0.13791173323988914F, -0.045525018125772476F, 0.03979014977812767F, 0.1202552504837513F, 0.2035212516784668F,
        0.2920137718319893F, 0.3893125355243683F, 0.5016634166240692F, 0.6427869920070482F, 0.8614784181118011F}};

std::string refusal(const Scheme&)
{
    return {};
}
GridBasis basis(const Scheme&)
{
    return GridBasis::AbsMax;
}
UnitGrid gridOf(const Scheme&, float, float high)
{
    return {high, 1.0F / std::max(high, 1e-38F)};
}

std::uint64_t fakeQuantize(const Scheme&, const kernels::UnitShape& shape, std::span<const float> rows,
    std::span<const UnitGrid> grids, std::span<float> out)
{
    return kernels::codeBookFakeQuantize(nf4, rows, shape, grids, out);
}

void encode(const Scheme&, const kernels::UnitShape& shape, std::span<const float> rows,
    std::span<const UnitGrid> grids, std::span<std::uint32_t> codes)
{
    kernels::codeBookEncode(nf4, rows, shape, grids, codes);
}

void decode(const Scheme&, const kernels::UnitShape& shape, std::span<const std::uint32_t> codes,
    std::span<const UnitGrid> grids, std::span<float> out)
{
    kernels::codeBookDecode(nf4, codes, shape, grids, out);
}

std::size_t codeCount(const Scheme&)
{
    return 16;
}

// Half of the widest gap, between −1 and −0.696.
double worstCaseError(const Scheme&, double absMax)
{
    return 1.00001 * absMax * 0.5 * (1.0 - 0.6961928009986877);
}

}  // namespace

extern const NumberFormat code_book;
const NumberFormat code_book {formats, refusal, basis, gridOf, fakeQuantize, encode, decode, codeCount, worstCaseError};

}  // namespace quantloupe::number_formats
