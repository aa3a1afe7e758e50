// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/half_quadratic.h"

#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/half_quadratic.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>

// What all targets share.
#ifndef QUANTLOUPE_HALF_QUADRATIC_COMMON
#define QUANTLOUPE_HALF_QUADRATIC_COMMON
namespace quantloupe::kernels {
namespace {

/// What an iteration shrinks errors by.
struct Shrinkage {
    float inverseBeta;
    float threshold;  ///< errors up to here shrink to nothing
};

/// |e| > |e|^−0.3/β only where |e| > β^(−1/1.3), which is 0.15 and more: most weights never need the power. The
/// threshold lies a thousandth lower, far more than rounding moves it.
Shrinkage shrinkageOf(std::size_t iteration)
{
    const double beta = 10.0 * std::pow(1.01, static_cast<double>(iteration));
    return {static_cast<float>(1.0 / beta), static_cast<float>(0.999 * std::pow(beta, -1.0 / 1.3))};
}

float shrunk(float error, float inverseBeta)
{
    const float size = std::abs(error);
    const auto power = static_cast<float>(std::pow(static_cast<double>(size), -0.3));
    const float rest = size - inverseBeta * power;
    return rest > 0.0F ? std::copysign(rest, error) : 0.0F;
}

}  // namespace
}  // namespace quantloupe::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The sums are kept in eight lanes of doubles, in as many vectors as that takes.
using Doubles = hn::CappedTag<double, 8>;
using Floats = hn::CappedTag<float, 8>;
using Vector = hn::Vec<Floats>;
constexpr std::size_t vectorsOfSum = 8 / hn::MaxLanes(Doubles());

struct EightSums {
    hn::Vec<Doubles> lanes[vectorsOfSum];

    EightSums()
    {
        for (auto& lane : lanes)
            lane = hn::Zero(Doubles());
    }
    void add(const float* eight)
    {
        const Doubles d;
        const hn::Rebind<float, Doubles> narrow;
        for (std::size_t v = 0; v < vectorsOfSum; ++v)
            lanes[v] = hn::Add(lanes[v], hn::PromoteTo(d, hn::LoadU(narrow, eight + v * hn::Lanes(d))));
    }
    double total() const
    {
        const Doubles d;
        double values[8];
        for (std::size_t v = 0; v < vectorsOfSum; ++v)
            hn::StoreU(lanes[v], d, values + v * hn::Lanes(d));
        double sum = 0.0;
        for (const double value : values)
            sum += value;
        return sum;
    }
};

struct Constants {
    Vector inverse, zero, above;
    float inverseBeta;
    Vector threshold, highest;
};

// Rounds to whole, half to even, for |x| ≤ 2²².
HWY_INLINE Vector roundSmall(Vector x)
{
    const auto magic = hn::Set(Floats(), 12582912.0F);
    return hn::Sub(hn::Add(x, magic), magic);
}

// What is left of large errors, which are rare; 0 for the others.
HWY_NOINLINE Vector Shrunk(Vector error, const Constants& at)
{
    const Floats d;
    float errors[8];
    hn::StoreU(error, d, errors);
    for (std::size_t i = 0; i < hn::Lanes(d); ++i)
        errors[i] = std::abs(errors[i]) > hn::GetLane(at.threshold) ? shrunk(errors[i], at.inverseBeta) : 0.0F;
    return hn::LoadU(d, errors);
}

// The zero point each weight asks for, and the size of its error; both 0 where the weight is not finite.
HWY_INLINE void Step(Vector weight, const Constants& at, Vector& zero, Vector& absError)
{
    const Floats d;
    const auto finite = hn::Le(hn::Abs(weight), hn::Set(d, std::numeric_limits<float>::max()));
    const Vector w = hn::IfThenElseZero(finite, weight);
    const Vector position = hn::Add(hn::Mul(w, at.inverse), at.zero);
    const Vector bounded = hn::Min(hn::Max(position, hn::Set(d, -1.0F)), at.above);
    const Vector code = hn::Min(hn::Max(roundSmall(bounded), hn::Zero(d)), at.highest);
    const Vector error = hn::Sub(w, hn::Div(hn::Sub(code, at.zero), at.inverse));
    Vector wanted = w;
    if (HWY_UNLIKELY(!hn::AllFalse(d, hn::Gt(hn::Abs(error), at.threshold))))
        wanted = hn::Sub(w, Shrunk(error, at));
    zero = hn::IfThenElseZero(finite, hn::Sub(code, hn::Mul(wanted, at.inverse)));
    absError = hn::IfThenElseZero(finite, hn::Abs(error));
}

std::size_t CountFinite(const float* weights, std::size_t count)
{
    std::size_t finite = 0;
    for (std::size_t i = 0; i < count; ++i)
        finite += std::abs(weights[i]) <= std::numeric_limits<float>::max() ? 1U : 0U;
    return finite;
}

// One iteration over one unit; returns its zero point and adds to `absError`.
float Iterate(const float* weights, std::size_t count, std::size_t finite, float highest, float inverse, float zero,
    const Shrinkage& shrinkage, double& absError)
{
    const Floats d;
    const std::size_t lanes = hn::Lanes(d);
    const Constants at {hn::Set(d, inverse), hn::Set(d, zero), hn::Set(d, highest + 1.0F), shrinkage.inverseBeta,
        hn::Set(d, shrinkage.threshold), hn::Set(d, highest)};
    EightSums zeros, errors;
    const auto addEight = [&](const float* eight) {
        float wanted[8], absErrors[8];
        for (std::size_t v = 0; v < 8; v += lanes) {
            Vector zeroOfLane, errorOfLane;
            Step(hn::LoadU(d, eight + v), at, zeroOfLane, errorOfLane);
            hn::StoreU(zeroOfLane, d, wanted + v);
            hn::StoreU(errorOfLane, d, absErrors + v);
        }
        zeros.add(wanted);
        errors.add(absErrors);
    };
    std::size_t i = 0;
    for (; i + 8 <= count; i += 8)
        addEight(weights + i);
    if (i < count) {
        // Filled up with what takes no part: their lanes gain +0.
        float last[8];
        for (std::size_t k = 0; k < 8; ++k)
            last[k] = i + k < count ? weights[i + k] : std::numeric_limits<float>::infinity();
        addEight(last);
    }
    absError += errors.total();
    return static_cast<float>(zeros.total() / static_cast<double>(finite));
}

void Zeros(const float* rows, std::size_t rowCount, const UnitShape& shape, float highest, std::size_t iterations,
    const float* inverses, float* zeros, HalfQuadraticSums& sums)
{
    Shrinkage shrinkages[halfQuadraticIterations];
    for (std::size_t k = 0; k < iterations; ++k)
        shrinkages[k] = shrinkageOf(k);
    for (std::size_t row = 0; row < rowCount; ++row)
        for (std::size_t start = 0; start < shape.columns; start += shape.length, ++inverses, ++zeros) {
            const float* weights = rows + row * shape.columns + start;
            const std::size_t count = HWY_MIN(shape.length, shape.columns - start);
            const std::size_t finite = *inverses > 0.0F ? CountFinite(weights, count) : 0;
            if (finite == 0)
                continue;
            sums.count += finite;
            for (std::size_t k = 0; k < iterations; ++k)
                *zeros = Iterate(weights, count, finite, highest, *inverses, *zeros, shrinkages[k], sums.absError[k]);
        }
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(Zeros);

HalfQuadraticSums& HalfQuadraticSums::operator+=(const HalfQuadraticSums& other)
{
    for (std::size_t k = 0; k < absError.size(); ++k)
        absError[k] += other.absError[k];
    count += other.count;
    return *this;
}

HalfQuadraticSums halfQuadraticZeros(std::span<const float> rows, const UnitShape& shape, float highest,
    std::size_t iterations, std::span<const float> inverses, std::span<float> zeros)
{
    HalfQuadraticSums sums;
    HWY_DYNAMIC_DISPATCH(Zeros)
    (rows.data(), shape.rows(rows.size()), shape, highest, iterations, inverses.data(), zeros.data(), sums);
    return sums;
}

namespace {

double sumOf(const std::array<double, 8>& lanes)
{
    double sum = 0.0;
    for (const double lane : lanes)
        sum += lane;
    return sum;
}

}  // namespace

HalfQuadraticSums halfQuadraticZerosReference(std::span<const float> rows, const UnitShape& shape, float highest,
    std::size_t iterations, std::span<const float> inverses, std::span<float> zeros)
{
    HalfQuadraticSums sums;
    for (std::size_t unit = 0; unit < zeros.size(); ++unit) {
        const std::size_t start = unit % shape.unitsPerRow() * shape.length;
        const auto weights = rows.subspan(
            unit / shape.unitsPerRow() * shape.columns + start, HWY_MIN(shape.length, shape.columns - start));
        std::size_t finite = 0;
        for (const float w : weights)
            finite += std::isfinite(w) ? 1U : 0U;
        const float inverse = inverses[unit];
        if (finite == 0 || !(inverse > 0.0F))
            continue;
        sums.count += finite;
        for (std::size_t k = 0; k < iterations; ++k) {
            std::array<double, 8> zeroSums {}, errorSums {};
            for (std::size_t i = 0; i < weights.size(); ++i) {
                const float w = weights[i];
                if (!std::isfinite(w))
                    continue;
                const float position = w * inverse + zeros[unit];
                const float code = HWY_MIN(HWY_MAX(std::nearbyint(position), 0.0F), highest);
                const float error = w - (code - zeros[unit]) / inverse;
                const float wanted = w - shrunk(error, shrinkageOf(k).inverseBeta);
                zeroSums[i % 8] += static_cast<double>(code - wanted * inverse);
                errorSums[i % 8] += static_cast<double>(std::abs(error));
            }
            sums.absError[k] += sumOf(errorSums);
            zeros[unit] = static_cast<float>(sumOf(zeroSums) / static_cast<double>(finite));
        }
    }
    return sums;
}

}  // namespace quantloupe::kernels
#endif
