// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/requantize.h"

#include <algorithm>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/requantize.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>

// What all targets share.
#ifndef QUANTLOUPE_REQUANTIZE_COMMON
#define QUANTLOUPE_REQUANTIZE_COMMON
namespace quantloupe::kernels {
namespace {

/// x·2^left, saturated to what is sure not to overflow.
std::int32_t shiftedLeft(std::int32_t x, int left)
{
    const std::int32_t highest = std::numeric_limits<std::int32_t>::max() >> left;
    return std::clamp(x, -highest - 1, highest) * (std::int32_t {1} << left);
}

}  // namespace
}  // namespace quantloupe::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR

using Integers = hn::ScalableTag<std::int32_t>;
using Unsigneds = hn::RebindToUnsigned<Integers>;
using Longs = hn::Repartition<std::int64_t, Integers>;
using UnsignedLongs = hn::RebindToUnsigned<Longs>;
using Sum = hn::Vec<Integers>;

// (a·b + 2³⁰) >> 31 of even lanes, in their low halves.
HWY_INLINE Sum HighHalves(Sum a, Sum b)
{
    const Longs dl;
    const UnsignedLongs du;
    const auto rounded = hn::Add(hn::MulEven(a, b), hn::Set(dl, std::int64_t {1} << 30));
    return hn::BitCast(Integers(), hn::ShiftRight<31>(hn::BitCast(du, rounded)));
}

HWY_INLINE Sum MultiplyByFactor(Sum x, Sum multiplier, Sum shift)
{
    const Integers d;
    const Longs dl;
    const auto zero = hn::Zero(d);
    const auto left = hn::Max(shift, zero), right = hn::Max(hn::Neg(shift), zero);
    const auto highest = hn::Shr(hn::Set(d, std::numeric_limits<std::int32_t>::max()), left);
    const auto shifted = hn::Shl(hn::Min(hn::Max(x, hn::Sub(hn::Neg(highest), hn::Set(d, 1))), highest), left);

    const auto odd = [&](Sum v) HWY_ATTR { return hn::BitCast(d, hn::ShiftRight<32>(hn::BitCast(dl, v))); };
    const auto evenHigh = HighHalves(shifted, multiplier);
    const auto oddHigh = HighHalves(odd(shifted), odd(multiplier));
    const auto high = hn::OddEven(hn::BitCast(d, hn::ShiftLeft<32>(hn::BitCast(dl, oddHigh))), evenHigh);

    // What is shifted out, against half of the last place kept; of negative numbers more than half goes up.
    const auto mask = hn::Sub(hn::Shl(hn::Set(d, 1), right), hn::Set(d, 1));
    const auto remainder = hn::And(high, mask);
    const auto negative = hn::VecFromMask(d, hn::Lt(high, zero));  // −1
    const auto threshold = hn::Sub(hn::ShiftRight<1>(mask), negative);
    return hn::Sub(hn::Shr(high, right), hn::VecFromMask(d, hn::Gt(remainder, threshold)));
}

void Requantize(const std::int32_t* sums, std::size_t count, const Requantization& to, std::int8_t* codes)
{
    const Integers d;
    const hn::Rebind<std::int8_t, Integers> narrow;
    const std::size_t lanes = hn::Lanes(d), whole = count - count % lanes;
    const bool shared = to.factors.size() == 1;
    const auto zero = hn::Set(d, to.zero), lowest = hn::Set(d, to.lowest), highest = hn::Set(d, to.highest);
    const auto farthest = hn::Set(d, std::int32_t {1} << 30);
    auto multiplier = hn::Set(d, to.factors[0].multiplier), shift = hn::Set(d, to.factors[0].shift);
    static_assert(sizeof(FixedPointFactor) == 2 * sizeof(std::int32_t));
    for (std::size_t i = 0; i < whole; i += lanes) {
        if (!shared)
            hn::LoadInterleaved2(d, &to.factors[i].multiplier, multiplier, shift);
        auto value = MultiplyByFactor(hn::LoadU(d, sums + i), multiplier, shift);
        value = hn::Min(hn::Max(value, hn::Neg(farthest)), farthest);
        value = hn::Min(hn::Max(hn::Add(value, zero), lowest), highest);
        hn::StoreU(hn::DemoteTo(narrow, value), narrow, codes + i);
    }
    if (whole == count)
        return;
    auto rest = to;
    if (!shared)
        rest.factors = to.factors.subspan(whole);
    requantizeReference({sums + whole, 1, count - whole, count - whole}, rest, {codes + whole, count - whole});
}

#else

void Requantize(const std::int32_t* sums, std::size_t count, const Requantization& to, std::int8_t* codes)
{
    requantizeReference({sums, 1, count, count}, to, {codes, count});
}

#endif

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(Requantize);

FixedPointFactor fixedPointFactor(double factor)
{
    if (factor == 0.0)
        return {};
    int exponent = 0;
    const double fraction = std::frexp(factor, &exponent);
    auto multiplier = static_cast<std::int64_t>(std::round(std::ldexp(fraction, 31)));
    if (multiplier == std::int64_t {1} << 31) {
        multiplier /= 2;
        ++exponent;
    }
    if (exponent < -31)
        return {};
    if (exponent > 30)
        return {.multiplier = std::numeric_limits<std::int32_t>::max(), .shift = 30};
    return {.multiplier = static_cast<std::int32_t>(multiplier), .shift = exponent};
}

std::int32_t multiplyByFactor(std::int32_t x, FixedPointFactor factor)
{
    const int left = std::max(factor.shift, 0), right = std::max(-factor.shift, 0);
    const std::int64_t product = std::int64_t {shiftedLeft(x, left)} * factor.multiplier;
    const std::int64_t high = (product + (std::int64_t {1} << 30)) >> 31;
    const std::int64_t remainder = high & ((std::int64_t {1} << right) - 1);
    const std::int64_t threshold = (((std::int64_t {1} << right) - 1) >> 1) + (high < 0 ? 1 : 0);
    return static_cast<std::int32_t>((high >> right) + (remainder > threshold ? 1 : 0));
}

void requantize(Matrix<const std::int32_t> sums, const Requantization& requantization, std::span<std::int8_t> codes)
{
    for (std::size_t row = 0; row < sums.rows; ++row)
        HWY_DYNAMIC_DISPATCH(Requantize)
    (sums.row(row), sums.columns, requantization, codes.data() + row * sums.columns);
}

void requantizeReference(
    Matrix<const std::int32_t> sums, const Requantization& requantization, std::span<std::int8_t> codes)
{
    const auto& [factors, zero, lowest, highest] = requantization;
    for (std::size_t row = 0; row < sums.rows; ++row)
        for (std::size_t i = 0; i < sums.columns; ++i) {
            const std::int64_t value = multiplyByFactor(sums.row(row)[i], factors[factors.size() == 1 ? 0 : i]);
            codes[row * sums.columns + i] =
                static_cast<std::int8_t>(std::clamp<std::int64_t>(value + zero, lowest, highest));
        }
}

}  // namespace quantloupe::kernels
#endif
