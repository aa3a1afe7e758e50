// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/largest_in_columns.h"

#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/largest_in_columns.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template<bool errors, class D>
HWY_INLINE void keepVector(
    D d, const float* weights, const float* other, std::uint32_t row, float* sizes, float* values, std::uint32_t* rows)
{
    const hn::RebindToUnsigned<D> du;
    const auto second = hn::LoadU(d, other);
    const auto value = errors ? hn::Sub(hn::LoadU(d, weights), second) : second;
    auto size = hn::Abs(errors ? value : hn::LoadU(d, weights));
    const auto finite = hn::Le(size, hn::Set(d, std::numeric_limits<float>::max()));
    size = hn::IfThenElse(finite, size, hn::Set(d, std::numeric_limits<float>::infinity()));
    const auto before = hn::LoadU(d, sizes);
    const auto larger = hn::Gt(size, before);
    hn::StoreU(hn::IfThenElse(larger, size, before), d, sizes);
    hn::StoreU(hn::IfThenElse(larger, value, hn::LoadU(d, values)), d, values);
    hn::StoreU(hn::IfThenElse(hn::RebindMask(du, larger), hn::Set(du, row), hn::LoadU(du, rows)), du, rows);
}

template<bool errors>
void Keep(const float* HWY_RESTRICT weights, const float* HWY_RESTRICT other, std::size_t count, std::uint32_t row,
    float* HWY_RESTRICT sizes, float* HWY_RESTRICT values, std::uint32_t* HWY_RESTRICT rows)
{
    const hn::ScalableTag<float> d;
    const hn::CappedTag<float, 1> one;
    std::size_t i = 0;
    for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d))
        keepVector<errors>(d, weights + i, other + i, row, sizes + i, values + i, rows + i);
    for (; i < count; ++i)
        keepVector<errors>(one, weights + i, other + i, row, sizes + i, values + i, rows + i);
}

void KeepWeights(const float* weights, const float* kept, std::size_t count, std::uint32_t row, float* sizes,
    float* values, std::uint32_t* rows)
{
    Keep<false>(weights, kept, count, row, sizes, values, rows);
}

void KeepErrors(const float* weights, const float* quantized, std::size_t count, std::uint32_t row, float* sizes,
    float* values, std::uint32_t* rows)
{
    Keep<true>(weights, quantized, count, row, sizes, values, rows);
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(KeepWeights);
HWY_EXPORT(KeepErrors);

void keepLargest(
    std::span<const float> weights, std::span<const float> kept, std::uint32_t row, const LargestInColumns& to)
{
    HWY_DYNAMIC_DISPATCH(KeepWeights)
    (weights.data(), kept.data(), weights.size(), row, to.sizes.data(), to.values.data(), to.rows.data());
}

void keepLargestErrors(
    std::span<const float> weights, std::span<const float> quantized, std::uint32_t row, const LargestInColumns& to)
{
    HWY_DYNAMIC_DISPATCH(KeepErrors)
    (weights.data(), quantized.data(), weights.size(), row, to.sizes.data(), to.values.data(), to.rows.data());
}

namespace {

void keepReference(std::size_t i, float deciding, float kept, std::uint32_t row, const LargestInColumns& to)
{
    const float size = std::isfinite(deciding) ? std::abs(deciding) : std::numeric_limits<float>::infinity();
    if (!(size > to.sizes[i]))
        return;
    to.sizes[i] = size;
    to.values[i] = kept;
    to.rows[i] = row;
}

}  // namespace

void keepLargestReference(
    std::span<const float> weights, std::span<const float> kept, std::uint32_t row, const LargestInColumns& to)
{
    for (std::size_t i = 0; i < weights.size(); ++i)
        keepReference(i, weights[i], kept[i], row, to);
}

void keepLargestErrorsReference(
    std::span<const float> weights, std::span<const float> quantized, std::uint32_t row, const LargestInColumns& to)
{
    for (std::size_t i = 0; i < weights.size(); ++i)
        keepReference(i, weights[i] - quantized[i], weights[i] - quantized[i], row, to);
}

}  // namespace quantloupe::kernels
#endif
