// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/error_sums.h"

#include <algorithm>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/error_sums.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr std::size_t blockLength = 512;

template<class D>
struct Lanes {
    using V = hn::Vec<D>;
    V signal, quantized, error, dot, sum, largest, missing;

    explicit Lanes(D d)
        : signal(hn::Zero(d))
        , quantized(hn::Zero(d))
        , error(hn::Zero(d))
        , dot(hn::Zero(d))
        , sum(hn::Zero(d))
        , largest(hn::Zero(d))
        , missing(hn::Zero(d))
    {
    }
};

// Adds one vector and returns its errors, NaN where the original is not finite.
template<class D, class V = hn::Vec<D>>
V add(D d, const float* originals, const float* quantized, Lanes<D>& lanes)
{
    const V original = hn::LoadU(d, originals);
    const auto finite = hn::Le(hn::Abs(original), hn::Set(d, std::numeric_limits<float>::max()));
    const V w = hn::IfThenElseZero(finite, original);
    const V q = hn::IfThenElseZero(finite, hn::LoadU(d, quantized));
    const V e = hn::Sub(w, q);
    lanes.signal = hn::MulAdd(w, w, lanes.signal);
    lanes.quantized = hn::MulAdd(q, q, lanes.quantized);
    lanes.error = hn::MulAdd(e, e, lanes.error);
    lanes.dot = hn::MulAdd(w, q, lanes.dot);
    lanes.sum = hn::Add(lanes.sum, e);
    lanes.largest = hn::Max(lanes.largest, hn::Abs(e));
    lanes.missing = hn::Add(lanes.missing, hn::IfThenZeroElse(finite, hn::Set(d, 1.0F)));
    return hn::IfThenElse(finite, e, hn::Set(d, std::numeric_limits<float>::quiet_NaN()));
}

template<class D>
double total(D d, hn::Vec<D> lanes)
{
    return static_cast<double>(hn::GetLane(hn::SumOfLanes(d, lanes)));
}

// Whether float sums of squares can be trusted: far from overflow, and denormals add nothing that matters.
bool isSafe(double sum)
{
    return sum >= 0x1p-80 && sum <= 0x1p120;
}

template<bool profiles>
ErrorSums SumBlock(
    const float* originals, const float* quantized, std::size_t count, double* columnEnergies, float* errors)
{
    const hn::ScalableTag<float> d;
    const hn::CappedTag<float, 1> one;
    Lanes<hn::Simd<float, hn::MaxLanes(d), 0>> lanes(d);
    std::size_t i = 0;
    for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
        const auto e = add(d, originals + i, quantized + i, lanes);
        if constexpr (profiles) {
            const hn::ScalableTag<double> wide;
            const hn::Rebind<float, decltype(wide)> narrow;
            hn::StoreU(e, d, errors + i);
            // Half a vector of floats at a time: as many as fit a vector of doubles.
            for (std::size_t part = i; part < i + hn::Lanes(d); part += hn::Lanes(wide)) {
                const auto error = hn::LoadU(narrow, errors + part);
                const auto square = hn::IfThenElseZero(hn::Eq(error, error), hn::Mul(error, error));
                const auto energy = hn::Add(hn::LoadU(wide, columnEnergies + part), hn::PromoteTo(wide, square));
                hn::StoreU(energy, wide, columnEnergies + part);
            }
        }
    }
    ErrorSums sums {count - static_cast<std::size_t>(total(d, lanes.missing)), total(d, lanes.signal),
        total(d, lanes.quantized), total(d, lanes.error), total(d, lanes.dot), total(d, lanes.sum),
        static_cast<double>(hn::GetLane(hn::MaxOfLanes(d, lanes.largest)))};
    if (i < count) {
        Lanes<hn::Simd<float, 1, 0>> tail(one);
        for (; i < count; ++i) {
            const float e = hn::GetLane(add(one, originals + i, quantized + i, tail));
            if constexpr (profiles) {
                errors[i] = e;
                columnEnergies[i] += e == e ? static_cast<double>(e * e) : 0.0;
            }
        }
        sums += ErrorSums {0, total(one, tail.signal), total(one, tail.quantized), total(one, tail.error),
            total(one, tail.dot), total(one, tail.sum), total(one, tail.largest)};
        sums.count -= static_cast<std::size_t>(hn::GetLane(tail.missing));
    }
    return sums;
}

template<bool profiles>
ErrorSums Sum(const float* originals, const float* quantized, std::size_t count, double* columnEnergies, float* errors)
{
    ErrorSums sums;
    for (std::size_t start = 0; start < count; start += blockLength) {
        const std::size_t length = HWY_MIN(blockLength, count - start);
        const ErrorSums block = SumBlock<profiles>(originals + start, quantized + start, length,
            profiles ? columnEnergies + start : nullptr, profiles ? errors + start : nullptr);
        const bool safe = isSafe(block.signalEnergy) && block.quantizedEnergy <= 0x1p120
            && (block.maxAbsError == 0.0 || isSafe(block.errorEnergy));
        sums += safe ? block : errorSumsReference({originals + start, length}, {quantized + start, length});
    }
    return sums;
}

ErrorSums PlainSum(const float* originals, const float* quantized, std::size_t count)
{
    return Sum<false>(originals, quantized, count, nullptr, nullptr);
}

ErrorSums ProfileRows(const float* originals, const float* quantized, std::size_t rowCount, std::size_t columns,
    float* rowEnergies, double* columnEnergies, float* errors)
{
    ErrorSums sums;
    for (std::size_t row = 0; row < rowCount; ++row) {
        const std::size_t at = row * columns;
        const ErrorSums part = Sum<true>(originals + at, quantized + at, columns, columnEnergies, errors + at);
        rowEnergies[row] = static_cast<float>(part.errorEnergy);
        sums += part;
    }
    return sums;
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(PlainSum);
HWY_EXPORT(ProfileRows);

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
    return HWY_DYNAMIC_DISPATCH(PlainSum)(originals.data(), quantized.data(), originals.size());
}

ErrorSums errorProfiles(std::span<const float> originals, std::span<const float> quantized,
    std::span<float> rowEnergies, std::span<double> columnEnergies, std::span<float> errors)
{
    return HWY_DYNAMIC_DISPATCH(ProfileRows)(originals.data(), quantized.data(), rowEnergies.size(),
        columnEnergies.size(), rowEnergies.data(), columnEnergies.data(), errors.data());
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
