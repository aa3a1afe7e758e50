// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/hadamard.h"

#include <algorithm>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/hadamard.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Four doubles at most: the first two stages then are one interleaved load and store on every target.
using Doubles = hn::CappedTag<double, 4>;
using Vector = hn::Vec<Doubles>;

constexpr double largestFloat = static_cast<double>(std::numeric_limits<float>::max());

void Widen(const float* row, std::size_t count, double* out)
{
    const Doubles d;
    const hn::Rebind<float, Doubles> df;
    std::size_t i = 0;
    for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
        const auto w = hn::LoadU(df, row + i);
        const auto finite = hn::Le(hn::Abs(w), hn::Set(df, std::numeric_limits<float>::max()));
        hn::StoreU(hn::PromoteTo(d, hn::IfThenElseZero(finite, w)), d, out + i);
    }
    for (; i < count; ++i)
        out[i] = std::isfinite(row[i]) ? static_cast<double>(row[i]) : 0.0;
}

void Narrow(const double* values, std::size_t count, double factor, float* out)
{
    const Doubles d;
    const hn::Rebind<float, Doubles> df;
    const auto largest = hn::Set(d, largestFloat);
    const auto lowest = hn::Set(d, -largestFloat);
    const auto scaling = hn::Set(d, factor);
    std::size_t i = 0;
    for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
        const auto value = hn::Mul(hn::LoadU(d, values + i), scaling);
        hn::StoreU(hn::DemoteTo(df, hn::Min(hn::Max(value, lowest), largest)), df, out + i);
    }
    for (; i < count; ++i)
        out[i] = static_cast<float>(std::clamp(values[i] * factor, -largestFloat, largestFloat));
}

// Two stages at once: as the stage between a, b and c, e, then that between both pairs.
void Butterfly(Vector& a, Vector& b, Vector& c, Vector& e)
{
    const Vector sum = hn::Add(a, b);
    const Vector difference = hn::Sub(a, b);
    const Vector secondSum = hn::Add(c, e);
    const Vector secondDifference = hn::Sub(c, e);
    a = hn::Add(sum, secondSum);
    b = hn::Add(difference, secondDifference);
    c = hn::Sub(sum, secondSum);
    e = hn::Sub(difference, secondDifference);
}

// Natural order, not normalised.
void Walsh(double* values, std::size_t count)
{
    const Doubles d;
    const std::size_t lanes = hn::Lanes(d);
    std::size_t stride = 1;
    if (count >= 4 * lanes) {
        for (std::size_t i = 0; i < count; i += 4 * lanes) {
            Vector a, b, c, e;
            hn::LoadInterleaved4(d, values + i, a, b, c, e);
            Butterfly(a, b, c, e);
            hn::StoreInterleaved4(a, b, c, e, d, values + i);
        }
        stride = 4;
    } else {
        for (; stride < count; stride *= 2)
            for (std::size_t i = 0; i < count; i += 2 * stride)
                for (std::size_t j = i; j < i + stride; ++j) {
                    const double first = values[j];
                    const double second = values[j + stride];
                    values[j] = first + second;
                    values[j + stride] = first - second;
                }
        return;
    }
    for (; 4 * stride <= count; stride *= 4)
        for (std::size_t i = 0; i < count; i += 4 * stride)
            for (std::size_t j = i; j < i + stride; j += lanes) {
                Vector a = hn::LoadU(d, values + j);
                Vector b = hn::LoadU(d, values + j + stride);
                Vector c = hn::LoadU(d, values + j + 2 * stride);
                Vector e = hn::LoadU(d, values + j + 3 * stride);
                Butterfly(a, b, c, e);
                hn::StoreU(a, d, values + j);
                hn::StoreU(b, d, values + j + stride);
                hn::StoreU(c, d, values + j + 2 * stride);
                hn::StoreU(e, d, values + j + 3 * stride);
            }
    if (2 * stride <= count)
        for (std::size_t j = 0; j < stride; j += lanes) {
            const Vector a = hn::LoadU(d, values + j);
            const Vector b = hn::LoadU(d, values + j + stride);
            hn::StoreU(hn::Add(a, b), d, values + j);
            hn::StoreU(hn::Sub(a, b), d, values + j + stride);
        }
}

// Four target runs, `width` vectors of each from column j on: sums over the source runs in their order. The factors are
// ±1, so a fused multiply-add rounds as a product and a sum do.
template<std::size_t width>
void MixColumns(const double* values, const HadamardShape& shape, const double* signs, std::size_t target,
    std::size_t j, double* out)
{
    const Doubles d;
    const std::size_t lanes = hn::Lanes(d);
    Vector sums[4][width];
    for (auto& run : sums)
        for (auto& sum : run)
            sum = hn::Zero(d);
    for (std::size_t source = 0; source < shape.outer; ++source) {
        const double* row = signs + source * shape.outer + target;
        const double* from = values + source * shape.inner + j;
        for (std::size_t v = 0; v < width; ++v) {
            const Vector x = hn::LoadU(d, from + v * lanes);
            for (std::size_t t = 0; t < 4; ++t)
                sums[t][v] = hn::MulAdd(x, hn::Set(d, row[t]), sums[t][v]);
        }
    }
    for (std::size_t t = 0; t < 4; ++t)
        for (std::size_t v = 0; v < width; ++v)
            hn::StoreU(sums[t][v], d, out + (target + t) * shape.inner + j + v * lanes);
}

// Where runs are shorter than a vector: `width` vectors of targets at once, column by column.
template<std::size_t width>
void MixTargets(const double* values, const HadamardShape& shape, const double* signs, std::size_t target, double* out)
{
    const Doubles d;
    const std::size_t lanes = hn::Lanes(d);
    for (std::size_t j = 0; j < shape.inner; ++j) {
        Vector sums[width];
        for (auto& sum : sums)
            sum = hn::Zero(d);
        for (std::size_t source = 0; source < shape.outer; ++source) {
            const Vector x = hn::Set(d, values[source * shape.inner + j]);
            for (std::size_t v = 0; v < width; ++v) {
                const double* row = signs + source * shape.outer + target + v * lanes;
                sums[v] = hn::MulAdd(x, hn::LoadU(d, row), sums[v]);
            }
        }
        for (std::size_t v = 0; v < width; ++v) {
            double results[4];
            hn::StoreU(sums[v], d, results);
            for (std::size_t lane = 0; lane < lanes; ++lane)
                out[(target + v * lanes + lane) * shape.inner + j] = results[lane];
        }
    }
}

void Mix(const double* values, const HadamardShape& shape, const double* signs, double* out)
{
    const std::size_t lanes = hn::Lanes(Doubles());
    if (shape.inner < lanes) {
        std::size_t target = 0;
        for (; target + 8 * lanes <= shape.outer; target += 8 * lanes)
            MixTargets<8>(values, shape, signs, target, out);
        for (; target < shape.outer; target += lanes)
            MixTargets<1>(values, shape, signs, target, out);
        return;
    }
    for (std::size_t target = 0; target < shape.outer; target += 4) {
        std::size_t j = 0;
        for (; j + 2 * lanes <= shape.inner; j += 2 * lanes)
            MixColumns<2>(values, shape, signs, target, j, out);
        for (; j < shape.inner; j += lanes)
            MixColumns<1>(values, shape, signs, target, j, out);
    }
}

void Rotate(const float* row, const HadamardShape& shape, const double* signs, double* scratch, float* out)
{
    const std::size_t length = shape.blockLength();
    const double factor = 1.0 / std::sqrt(static_cast<double>(length));
    for (std::size_t start = 0; start < shape.columns(); start += length) {
        Widen(row + start, length, scratch);
        for (std::size_t run = 0; run < length; run += shape.inner)
            Walsh(scratch + run, shape.inner);
        if (shape.outer > 1)
            Mix(scratch, shape, signs, scratch + length);
        Narrow(shape.outer > 1 ? scratch + length : scratch, length, factor, out + start);
    }
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(Rotate);

void hadamardRotate(std::span<const float> row, const HadamardShape& shape, std::span<const double> signs,
    std::span<double> scratch, std::span<float> out)
{
    HWY_DYNAMIC_DISPATCH(Rotate)(row.data(), shape, signs.data(), scratch.data(), out.data());
}

void hadamardRotateReference(std::span<const float> row, const HadamardShape& shape, std::span<const double> signs,
    std::span<double> scratch, std::span<float> out)
{
    constexpr auto largest = static_cast<double>(std::numeric_limits<float>::max());
    const std::size_t length = shape.blockLength();
    const auto values = scratch.first(length);
    const double factor = 1.0 / std::sqrt(static_cast<double>(length));
    for (std::size_t start = 0; start < shape.columns(); start += length) {
        for (std::size_t i = 0; i < length; ++i)
            values[i] = std::isfinite(row[start + i]) ? static_cast<double>(row[start + i]) : 0.0;
        for (std::size_t stride = 1; stride < shape.inner; stride *= 2)
            for (std::size_t i = 0; i < length; ++i)
                if ((i / stride) % 2 == 0) {
                    const double first = values[i];
                    const double second = values[i + stride];
                    values[i] = first + second;
                    values[i + stride] = first - second;
                }
        for (std::size_t i = 0; i < length; ++i) {
            double sum = shape.outer > 1 ? 0.0 : values[i];
            for (std::size_t source = 0; shape.outer > 1 && source < shape.outer; ++source)
                sum += values[source * shape.inner + i % shape.inner] * signs[source * shape.outer + i / shape.inner];
            out[start + i] = static_cast<float>(std::clamp(sum * factor, -largest, largest));
        }
    }
}

}  // namespace quantloupe::kernels
#endif
