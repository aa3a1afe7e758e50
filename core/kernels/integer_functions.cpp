// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/integer_functions.h"

#include <algorithm>
#include <bit>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/integer_functions.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>

// What all targets share.
#ifndef QUANTLOUPE_INTEGER_FUNCTIONS_COMMON
#define QUANTLOUPE_INTEGER_FUNCTIONS_COMMON
namespace quantloupe::kernels {
namespace {

/// ln 2, b and c/a of the polynomial, in the units of scores.
constexpr std::int32_t kLogTwo = static_cast<std::int32_t>(0.6931471805599453 * (1 << scoreFractionBits));
constexpr std::int32_t kShift = static_cast<std::int32_t>(1.353 * (1 << scoreFractionBits));
constexpr std::int32_t kConstant = static_cast<std::int32_t>(0.344 / integerExpUnit);
/// What is so far below 0 has no bits left.
constexpr std::int32_t kLowestScore = -31 * kLogTwo;

/// One over a sum, to 31 bits: product · factor >> shift is its share in units of 2^−probabilityFractionBits.
struct Reciprocal {
    std::uint32_t factor;
    int shift;
};

/// @pre 2²⁰ < sum < 2⁵³
Reciprocal reciprocalOf(std::uint64_t sum)
{
    const auto width = static_cast<int>(std::bit_width(sum));
    const std::uint64_t scaled = width > 32 ? sum >> (width - 32) : sum << (32 - width);
    return {.factor = static_cast<std::uint32_t>((std::uint64_t {1} << 62) / scaled),
        .shift = 62 - probabilityFractionBits + width - 32};
}

}  // namespace
}  // namespace quantloupe::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR

void ExpAll(const std::int32_t* scores, std::size_t count, std::int32_t largest, std::int32_t* out)
{
    const hn::ScalableTag<std::int32_t> d;
    const std::size_t lanes = hn::Lanes(d), whole = count - count % lanes;
    // ⌊n / 709⌋ by a product: exact for n < 2¹⁵.
    constexpr int divisionBits = 25;
    constexpr std::int32_t inverse = (1 << divisionBits) / kLogTwo + 1;
    static_assert(-kLowestScore < 1 << 15);
    for (std::size_t i = 0; i < whole; i += lanes) {
        const auto below = hn::Min(hn::Sub(hn::Set(d, largest), hn::LoadU(d, scores + i)), hn::Set(d, -kLowestScore));
        const auto halvings = hn::ShiftRight<divisionBits>(hn::Mul(below, hn::Set(d, inverse)));
        const auto rest = hn::Sub(hn::Mul(halvings, hn::Set(d, kLogTwo)), below);
        const auto shifted = hn::Add(rest, hn::Set(d, kShift));
        const auto value = hn::Add(hn::Mul(shifted, shifted), hn::Set(d, kConstant));
        hn::StoreU(hn::Shr(value, halvings), d, out + i);
    }
    for (std::size_t i = whole; i < count; ++i)
        out[i] = integerExp(scores[i] - largest);
}

void ShareAll(std::int32_t* values, std::size_t count, const Reciprocal& reciprocal)
{
    const hn::ScalableTag<std::uint32_t> d;
    const hn::RebindToSigned<decltype(d)> di;
    const hn::Repartition<std::uint64_t, decltype(d)> dl;
    const auto factor = hn::Set(d, reciprocal.factor);
    const std::size_t lanes = hn::Lanes(d), whole = count - count % lanes;
    for (std::size_t i = 0; i < whole; i += lanes) {
        const auto value = hn::BitCast(d, hn::LoadU(di, values + i));
        const auto odd = hn::BitCast(d, hn::ShiftRight<32>(hn::BitCast(dl, value)));
        const auto low = hn::ShiftRightSame(hn::MulEven(value, factor), reciprocal.shift);
        const auto high = hn::ShiftRightSame(hn::MulEven(odd, factor), reciprocal.shift);
        hn::StoreU(hn::BitCast(di, hn::Or(low, hn::ShiftLeft<32>(high))), di, values + i);
    }
    for (std::size_t i = whole; i < count; ++i)
        values[i] =
            static_cast<std::int32_t>(static_cast<std::uint64_t>(values[i]) * reciprocal.factor >> reciprocal.shift);
}

void Softmax(std::span<const std::int32_t> scores, std::span<std::int32_t> probabilities)
{
    if (scores.empty())
        return;
    ExpAll(scores.data(), scores.size(), *std::max_element(scores.begin(), scores.end()), probabilities.data());
    std::uint64_t sum = 0;
    for (const auto value : probabilities)
        sum += static_cast<std::uint64_t>(value);
    ShareAll(probabilities.data(), probabilities.size(), reciprocalOf(sum));
}

#else

void Softmax(std::span<const std::int32_t> scores, std::span<std::int32_t> probabilities)
{
    integerSoftmaxReference(scores, probabilities);
}

#endif

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(Softmax);

std::int32_t integerExp(std::int32_t score)
{
    const std::int32_t below = -std::max(score, kLowestScore);
    const std::int32_t halvings = below / kLogTwo;
    const std::int32_t shifted = halvings * kLogTwo - below + kShift;
    return (shifted * shifted + kConstant) >> halvings;
}

std::uint64_t integerSquareRoot(std::uint64_t n)
{
    if (n == 0)
        return 0;
    std::uint64_t root = std::uint64_t {1} << ((std::bit_width(n) + 1) / 2);
    for (;;) {
        const std::uint64_t next = (root + n / root) / 2;
        if (next >= root)
            return root;
        root = next;
    }
}

void integerSoftmax(std::span<const std::int32_t> scores, std::span<std::int32_t> probabilities)
{
    HWY_DYNAMIC_DISPATCH(Softmax)(scores, probabilities);
}

void integerSoftmaxReference(std::span<const std::int32_t> scores, std::span<std::int32_t> probabilities)
{
    if (scores.empty())
        return;
    const std::int32_t largest = *std::max_element(scores.begin(), scores.end());
    std::uint64_t sum = 0;
    for (const auto score : scores)
        sum += static_cast<std::uint64_t>(integerExp(score - largest));
    const auto [factor, shift] = reciprocalOf(sum);
    for (std::size_t i = 0; i < scores.size(); ++i)
        probabilities[i] =
            static_cast<std::int32_t>(static_cast<std::uint64_t>(integerExp(scores[i] - largest)) * factor >> shift);
}

void integerNormalize(
    std::span<const std::int16_t> values, bool centered, std::int64_t epsilon, std::span<std::int32_t> result)
{
    constexpr int varianceBits = 10, rootBits = 8, factorBits = 38;
    if (values.empty())
        return;
    const auto count = static_cast<std::int64_t>(values.size());
    std::int64_t sum = 0, squares = 0;
    for (const std::int64_t value : values)
        sum += value;
    const std::int64_t mean = centered ? (2 * sum + (sum < 0 ? -count : count)) / (2 * count) : 0;
    for (const std::int64_t value : values)
        squares += (value - mean) * (value - mean);
    const std::int64_t variance = (squares << varianceBits) / count + (epsilon << varianceBits);
    const auto root = std::max<std::uint64_t>(
        1, integerSquareRoot(static_cast<std::uint64_t>(variance) << (2 * rootBits - varianceBits)));
    const auto factor = static_cast<std::int64_t>((std::uint64_t {1} << factorBits) / root);
    constexpr int shift = factorBits - rootBits - normalizedFractionBits;
    for (std::size_t i = 0; i < values.size(); ++i)
        result[i] =
            static_cast<std::int32_t>(((values[i] - mean) * factor + (std::int64_t {1} << (shift - 1))) >> shift);
}

}  // namespace quantloupe::kernels
#endif
