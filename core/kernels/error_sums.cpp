// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/error_sums.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/error_sums.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>

// What all targets share.
#ifndef QUANTLOUPE_ERROR_SUMS_COMMON
#define QUANTLOUPE_ERROR_SUMS_COMMON
namespace quantloupe::kernels {
namespace {

constexpr std::size_t exactSums = 8;
using ExactSums = std::array<double, exactSums>;

void addExactly(float original, float quantized, float lowest, float highest, double& inside, double& beyond)
{
    if (!std::isfinite(original))
        return;
    const double error = static_cast<double>(original) - static_cast<double>(quantized);
    (original < lowest || original > highest ? beyond : inside) += error * error;
}

double joined(const ExactSums& sums)
{
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

}  // namespace
}  // namespace quantloupe::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr std::size_t blockLength = 1'024;

template<class D>
struct Lanes {
    using V = hn::Vec<D>;
    V signal, quantized, error, dot, sum, largest;

    explicit Lanes(D d)
        : signal(hn::Zero(d))
        , quantized(hn::Zero(d))
        , error(hn::Zero(d))
        , dot(hn::Zero(d))
        , sum(hn::Zero(d))
        , largest(hn::Zero(d))
    {
    }

    void join(const Lanes& other)
    {
        signal = hn::Add(signal, other.signal);
        quantized = hn::Add(quantized, other.quantized);
        error = hn::Add(error, other.error);
        dot = hn::Add(dot, other.dot);
        sum = hn::Add(sum, other.sum);
        largest = hn::Max(largest, other.largest);
    }
};

// Adds one vector and returns its errors. Nothing is looked at: what is not finite shows in the sums.
template<class D, class V = hn::Vec<D>>
V add(D d, const float* originals, const float* quantized, Lanes<D>& lanes)
{
    const V w = hn::LoadU(d, originals);
    const V q = hn::LoadU(d, quantized);
    const V e = hn::Sub(w, q);
    lanes.signal = hn::MulAdd(w, w, lanes.signal);
    lanes.quantized = hn::MulAdd(q, q, lanes.quantized);
    lanes.error = hn::MulAdd(e, e, lanes.error);
    lanes.dot = hn::MulAdd(w, q, lanes.dot);
    lanes.sum = hn::Add(lanes.sum, e);
    lanes.largest = hn::Max(lanes.largest, hn::Abs(e));
    return e;
}

template<class D>
void addTo(D d, const Lanes<D>& lanes, ErrorSums& sums)
{
    const auto total = [d](hn::Vec<D> v) { return static_cast<double>(hn::GetLane(hn::SumOfLanes(d, v))); };
    sums += ErrorSums {0, total(lanes.signal), total(lanes.quantized), total(lanes.error), total(lanes.dot),
        total(lanes.sum), static_cast<double>(hn::GetLane(hn::MaxOfLanes(d, lanes.largest)))};
}

// Whether float sums of squares can be trusted: far from overflow, and denormals add nothing that matters. Not where
// a weight is not finite.
bool isSafe(double sum)
{
    return sum >= 0x1p-80 && sum <= 0x1p120;
}

// errors may be null.
ErrorSums SumBlock(const float* originals, const float* quantized, std::size_t count, float* errors)
{
    const hn::ScalableTag<float> d;
    const hn::CappedTag<float, 1> one;
    // Two sets, so that no addition waits for the one before it.
    Lanes<hn::Simd<float, hn::MaxLanes(d), 0>> even(d), odd(d);
    std::size_t i = 0;
    const auto next = [&](auto& lanes) {
        const auto e = add(d, originals + i, quantized + i, lanes);
        if (errors)
            hn::StoreU(e, d, errors + i);
        i += hn::Lanes(d);
    };
    while (i + 2 * hn::Lanes(d) <= count) {
        next(even);
        next(odd);
    }
    if (i + hn::Lanes(d) <= count)
        next(even);
    ErrorSums sums {count};
    even.join(odd);
    addTo(d, even, sums);
    if (i < count) {
        Lanes<hn::Simd<float, 1, 0>> tail(one);
        for (; i < count; ++i) {
            const auto e = add(one, originals + i, quantized + i, tail);
            if (errors)
                hn::StoreU(e, one, errors + i);
        }
        addTo(one, tail, sums);
    }
    return sums;
}

void AddSquares(const float* errors, std::size_t count, float* columnEnergies)
{
    const hn::ScalableTag<float> d;
    std::size_t i = 0;
    // Product and sum rounded one by one, as every target can.
    for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
        const auto e = hn::LoadU(d, errors + i);
        hn::StoreU(hn::Add(hn::LoadU(d, columnEnergies + i), hn::Mul(e, e)), d, columnEnergies + i);
    }
    for (; i < count; ++i)
        columnEnergies[i] += errors[i] * errors[i];
}

// The block whose float sums cannot be trusted.
ErrorSums SumWithCare(
    const float* originals, const float* quantized, std::size_t count, float* columnEnergies, float* errors)
{
    if (errors)
        for (std::size_t i = 0; i < count; ++i) {
            const bool finite = std::isfinite(originals[i]);
            errors[i] = finite ? originals[i] - quantized[i] : std::numeric_limits<float>::quiet_NaN();
            columnEnergies[i] += finite ? errors[i] * errors[i] : 0.0F;
        }
    return errorSumsReference({originals, count}, {quantized, count});
}

ErrorSums Sum(const float* originals, const float* quantized, std::size_t count, float* columnEnergies, float* errors)
{
    ErrorSums sums;
    for (std::size_t start = 0; start < count; start += blockLength) {
        const std::size_t length = HWY_MIN(blockLength, count - start);
        float* blockColumns = columnEnergies ? columnEnergies + start : nullptr;
        float* blockErrors = errors ? errors + start : nullptr;
        const ErrorSums block = SumBlock(originals + start, quantized + start, length, blockErrors);
        if (isSafe(block.signalEnergy) && block.quantizedEnergy <= 0x1p120
            && (block.maxAbsError == 0.0 || isSafe(block.errorEnergy))) {
            if (blockErrors)
                AddSquares(blockErrors, length, blockColumns);
            sums += block;
        } else {
            sums += SumWithCare(originals + start, quantized + start, length, blockColumns, blockErrors);
        }
    }
    return sums;
}

ExactEnergies ExactErrorEnergies(const float* HWY_RESTRICT originals, const float* HWY_RESTRICT quantized,
    std::size_t count, float lowest, float highest)
{
    const hn::CappedTag<double, 4> d;
    const hn::Rebind<float, decltype(d)> narrow;
    constexpr std::size_t lanes = hn::MaxLanes(d), vectors = exactSums / lanes;
    const auto low = hn::Set(d, static_cast<double>(lowest)), high = hn::Set(d, static_cast<double>(highest));
    const auto largest = hn::Set(d, static_cast<double>(std::numeric_limits<float>::max()));
    hn::Vec<decltype(d)> inside[vectors], beyond[vectors];
    for (std::size_t k = 0; k < vectors; ++k)
        inside[k] = beyond[k] = hn::Zero(d);
    std::size_t i = 0;
    for (; i + exactSums <= count; i += exactSums)
        for (std::size_t k = 0; k < vectors; ++k) {
            const std::size_t at = i + k * lanes;
            const auto w = hn::PromoteTo(d, hn::LoadU(narrow, originals + at));
            const auto e = hn::Sub(w, hn::PromoteTo(d, hn::LoadU(narrow, quantized + at)));
            const auto square = hn::IfThenElseZero(hn::Le(hn::Abs(w), largest), hn::Mul(e, e));
            const auto out = hn::Or(hn::Lt(w, low), hn::Gt(w, high));
            inside[k] = hn::Add(inside[k], hn::IfThenZeroElse(out, square));
            beyond[k] = hn::Add(beyond[k], hn::IfThenElseZero(out, square));
        }
    ExactSums allInside, allBeyond;
    for (std::size_t k = 0; k < vectors; ++k) {
        hn::StoreU(inside[k], d, allInside.data() + k * lanes);
        hn::StoreU(beyond[k], d, allBeyond.data() + k * lanes);
    }
    for (std::size_t k = 0; i < count; ++i, ++k)
        addExactly(originals[i], quantized[i], lowest, highest, allInside[k], allBeyond[k]);
    return {joined(allInside), joined(allBeyond)};
}

void Settle(float* HWY_RESTRICT recent, std::size_t count, double* HWY_RESTRICT totals)
{
    const hn::ScalableTag<double> wide;
    const hn::Rebind<float, decltype(wide)> narrow;
    const std::size_t lanes = hn::Lanes(wide);
    std::size_t i = 0;
    for (; i + lanes <= count; i += lanes) {
        const auto more = hn::PromoteTo(wide, hn::LoadU(narrow, recent + i));
        hn::StoreU(hn::Add(hn::LoadU(wide, totals + i), more), wide, totals + i);
        hn::StoreU(hn::Zero(narrow), narrow, recent + i);
    }
    for (; i < count; ++i) {
        totals[i] += static_cast<double>(recent[i]);
        recent[i] = 0.0F;
    }
}

void AddTotals(const double* HWY_RESTRICT more, std::size_t count, double* HWY_RESTRICT totals)
{
    const hn::ScalableTag<double> d;
    const std::size_t lanes = hn::Lanes(d);
    std::size_t i = 0;
    for (; i + lanes <= count; i += lanes)
        hn::StoreU(hn::Add(hn::LoadU(d, totals + i), hn::LoadU(d, more + i)), d, totals + i);
    for (; i < count; ++i)
        totals[i] += more[i];
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(Sum);
HWY_EXPORT(ExactErrorEnergies);
HWY_EXPORT(Settle);
HWY_EXPORT(AddTotals);

ErrorSums& ErrorSums::operator+=(const ErrorSums& other)
{
    count += other.count;
    signalEnergy += other.signalEnergy;
    quantizedEnergy += other.quantizedEnergy;
    errorEnergy += other.errorEnergy;
    dotProduct += other.dotProduct;
    errorSum += other.errorSum;
    maxAbsError = std::max(maxAbsError, other.maxAbsError);
    return *this;
}

ErrorSums errorSums(std::span<const float> originals, std::span<const float> quantized)
{
    return HWY_DYNAMIC_DISPATCH(Sum)(originals.data(), quantized.data(), originals.size(), nullptr, nullptr);
}

ErrorSums errorProfile(std::span<const float> originals, std::span<const float> quantized,
    std::span<float> columnEnergies, std::span<float> errors)
{
    return HWY_DYNAMIC_DISPATCH(Sum)(
        originals.data(), quantized.data(), originals.size(), columnEnergies.data(), errors.data());
}

ExactEnergies exactErrorEnergies(
    std::span<const float> originals, std::span<const float> quantized, float lowest, float highest)
{
    return HWY_DYNAMIC_DISPATCH(ExactErrorEnergies)(
        originals.data(), quantized.data(), originals.size(), lowest, highest);
}

ExactEnergies exactErrorEnergiesReference(
    std::span<const float> originals, std::span<const float> quantized, float lowest, float highest)
{
    ExactSums inside {}, beyond {};
    for (std::size_t i = 0; i < originals.size(); ++i)
        addExactly(originals[i], quantized[i], lowest, highest, inside[i % exactSums], beyond[i % exactSums]);
    return {joined(inside), joined(beyond)};
}

void settleSums(std::span<float> recent, std::span<double> totals)
{
    HWY_DYNAMIC_DISPATCH(Settle)(recent.data(), recent.size(), totals.data());
}

void addSums(std::span<const double> more, std::span<double> totals)
{
    HWY_DYNAMIC_DISPATCH(AddTotals)(more.data(), more.size(), totals.data());
}

ErrorSums errorSumsReference(std::span<const float> originals, std::span<const float> quantized)
{
    ErrorSums sums;
    for (std::size_t i = 0; i < originals.size(); ++i) {
        if (!std::isfinite(originals[i]))
            continue;
        const auto w = static_cast<double>(originals[i]);
        const auto q = static_cast<double>(quantized[i]);
        const auto e = static_cast<double>(originals[i] - quantized[i]);
        sums += {1, w * w, q * q, e * e, w * q, e, std::abs(e)};
    }
    return sums;
}

}  // namespace quantloupe::kernels
#endif
