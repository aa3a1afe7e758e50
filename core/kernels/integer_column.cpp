// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/integer_column.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/integer_column.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void RoundColumn(std::span<const float> weights, std::span<const UnitGrid> grids, const IntegerCodes& codes,
    std::span<std::uint32_t> out, std::span<float> rounded)
{
    const hn::ScalableTag<float> d;
    const hn::RebindToUnsigned<decltype(d)> du;
    const hn::RebindToSigned<decltype(d)> di;
    static_assert(sizeof(UnitGrid) == 2 * sizeof(float));
    const auto* parameters = reinterpret_cast<const float*>(grids.data());
    const auto lowest = hn::Set(d, codes.lowest), highest = hn::Set(d, codes.highest), none = hn::Zero(d);
    const std::size_t whole = weights.size() - weights.size() % hn::Lanes(d);
    for (std::size_t i = 0; i < whole; i += hn::Lanes(d)) {
        auto scale = none, zero = none;
        hn::LoadInterleaved2(d, parameters + 2 * i, scale, zero);
        auto weight = hn::LoadU(d, weights.data() + i);
        weight = hn::IfThenZeroElse(hn::IsNaN(weight), weight);
        // What lies at the origin: the code of 0, or the value of code 0.
        const auto origin = codes.floatingMinimum ? none : zero, minimum = codes.floatingMinimum ? zero : none;
        auto step = hn::Round(hn::Div(hn::Sub(weight, minimum), scale));
        step = hn::Min(hn::Max(step, hn::Sub(lowest, origin)), hn::Sub(highest, origin));
        hn::StoreU(hn::Add(hn::Add(hn::Mul(scale, step), minimum), none), d, rounded.data() + i);
        hn::StoreU(hn::BitCast(du, hn::ConvertTo(di, hn::Add(step, origin))), du, out.data() + i);
    }
    const std::size_t rest = weights.size() - whole;
    const UnitShape shape {rest, 1, false};
    integerEncodeReference(weights.subspan(whole), shape, grids.subspan(whole), codes, out.subspan(whole));
    integerDecodeReference(out.subspan(whole), shape, grids.subspan(whole), codes, rounded.subspan(whole));
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(RoundColumn);

void integerRoundColumn(std::span<const float> weights, std::span<const UnitGrid> grids, const IntegerCodes& codes,
    std::span<std::uint32_t> out, std::span<float> rounded)
{
    HWY_DYNAMIC_DISPATCH(RoundColumn)(weights, grids, codes, out, rounded);
}

}  // namespace quantloupe::kernels
#endif
