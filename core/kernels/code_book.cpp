// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/code_book.h"

#include <algorithm>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/code_book.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// NaN counts as 0.
template<class V>
V numberOf(V weight)
{
    return hn::IfThenElseZero(hn::Eq(weight, weight), weight);
}

template<class D, class V = hn::Vec<D>>
V ratioOf(D d, V weight, V reciprocal)
{
    const V ratio = hn::Mul(numberOf(weight), reciprocal);
    return hn::Min(hn::Max(ratio, hn::Set(d, -1.0F)), hn::Set(d, 1.0F));
}

// Fifteen comparisons and choices beat a table: no gather, and the same on every target.
template<class D, class V = hn::Vec<D>>
V levelOf(D d, const CodeBook16& book, V ratio)
{
    V level = hn::Set(d, book.levels[0]);
    for (std::size_t i = 0; i < book.thresholds.size(); ++i)
        level = hn::IfThenElse(hn::Gt(ratio, hn::Set(d, book.thresholds[i])), hn::Set(d, book.levels[i + 1]), level);
    return level;
}

// How many thresholds lie below a number.
template<class D, class V = hn::Vec<D>>
auto codeOf(D d, std::span<const float> thresholds, V number)
{
    const hn::RebindToSigned<D> di;
    auto code = hn::Zero(di);
    for (const float threshold : thresholds)
        code = hn::Sub(code, hn::BitCast(di, hn::VecFromMask(d, hn::Gt(number, hn::Set(d, threshold)))));
    return hn::BitCast(hn::RebindToUnsigned<D>(), code);
}

template<class D, class V = hn::Vec<D>, class DI = hn::RebindToSigned<D>>
void countOutside(D d, V weight, V scale, hn::Vec<DI>& outside)
{
    const V size = hn::Abs(weight);
    const auto finite = hn::Le(size, hn::Set(d, std::numeric_limits<float>::max()));
    outside = hn::Add(outside, hn::BitCast(DI(), hn::VecFromMask(d, hn::And(hn::Gt(size, scale), finite))));
}

std::uint64_t FakeQuantizeUnit(
    const CodeBook16& book, const float* weights, std::size_t count, const UnitGrid& grid, float* out)
{
    const hn::ScalableTag<float> d;
    const hn::RebindToSigned<decltype(d)> di;
    const hn::CappedTag<float, 1> one;
    auto outside = hn::Zero(di);
    const auto scale = hn::Set(d, grid.scale);
    std::size_t i = 0;
    for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
        const auto weight = hn::LoadU(d, weights + i);
        countOutside(d, weight, scale, outside);
        hn::StoreU(hn::Mul(levelOf(d, book, ratioOf(d, weight, hn::Set(d, grid.zero))), scale), d, out + i);
    }
    auto total = -static_cast<std::int64_t>(hn::GetLane(hn::SumOfLanes(di, outside)));
    auto outsideTail = hn::Zero(hn::RebindToSigned<decltype(one)>());
    for (; i < count; ++i) {
        const auto weight = hn::LoadU(one, weights + i);
        countOutside(one, weight, hn::Set(one, grid.scale), outsideTail);
        const auto level = levelOf(one, book, ratioOf(one, weight, hn::Set(one, grid.zero)));
        hn::StoreU(hn::Mul(level, hn::Set(one, grid.scale)), one, out + i);
    }
    total -= static_cast<std::int64_t>(hn::GetLane(outsideTail));
    return static_cast<std::uint64_t>(total);
}

void EncodeUnit(
    const CodeBook16& book, const float* weights, std::size_t count, const UnitGrid& grid, std::uint32_t* codes)
{
    const hn::ScalableTag<float> d;
    const hn::RebindToUnsigned<decltype(d)> du;
    const hn::CappedTag<float, 1> one;
    std::size_t i = 0;
    for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
        const auto ratio = ratioOf(d, hn::LoadU(d, weights + i), hn::Set(d, grid.zero));
        hn::StoreU(codeOf(d, book.thresholds, ratio), du, codes + i);
    }
    for (; i < count; ++i) {
        const auto ratio = ratioOf(one, hn::LoadU(one, weights + i), hn::Set(one, grid.zero));
        codes[i] = hn::GetLane(codeOf(one, book.thresholds, ratio));
    }
}

void CountThresholds(std::span<const float> thresholds, std::span<const float> values, std::uint32_t* codes)
{
    const hn::ScalableTag<float> d;
    const hn::RebindToUnsigned<decltype(d)> du;
    const hn::CappedTag<float, 1> one;
    std::size_t i = 0;
    for (; i + hn::Lanes(d) <= values.size(); i += hn::Lanes(d))
        hn::StoreU(codeOf(d, thresholds, numberOf(hn::LoadU(d, values.data() + i))), du, codes + i);
    for (; i < values.size(); ++i)
        codes[i] = hn::GetLane(codeOf(one, thresholds, numberOf(hn::LoadU(one, values.data() + i))));
}

std::uint64_t FakeQuantize(const CodeBook16& book, const float* rows, std::size_t rowCount, const UnitShape& shape,
    const UnitGrid* grids, float* out)
{
    std::uint64_t clamped = 0;
    for (std::size_t row = 0; row < rowCount; ++row)
        for (std::size_t start = 0; start < shape.columns; start += shape.length) {
            const std::size_t at = row * shape.columns + start;
            clamped +=
                FakeQuantizeUnit(book, rows + at, HWY_MIN(shape.length, shape.columns - start), *grids, out + at);
            grids += shape.shared ? 0 : 1;
        }
    return clamped;
}

void Encode(const CodeBook16& book, const float* rows, std::size_t rowCount, const UnitShape& shape,
    const UnitGrid* grids, std::uint32_t* codes)
{
    for (std::size_t row = 0; row < rowCount; ++row)
        for (std::size_t start = 0; start < shape.columns; start += shape.length) {
            const std::size_t at = row * shape.columns + start;
            EncodeUnit(book, rows + at, HWY_MIN(shape.length, shape.columns - start), *grids, codes + at);
            grids += shape.shared ? 0 : 1;
        }
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(FakeQuantize);
HWY_EXPORT(Encode);
HWY_EXPORT(CountThresholds);

std::uint64_t codeBookFakeQuantize(const CodeBook16& book, std::span<const float> rows, const UnitShape& shape,
    std::span<const UnitGrid> grids, std::span<float> out)
{
    return HWY_DYNAMIC_DISPATCH(FakeQuantize)(
        book, rows.data(), shape.rows(rows.size()), shape, grids.data(), out.data());
}

void codeBookEncode(const CodeBook16& book, std::span<const float> rows, const UnitShape& shape,
    std::span<const UnitGrid> grids, std::span<std::uint32_t> codes)
{
    HWY_DYNAMIC_DISPATCH(Encode)(book, rows.data(), shape.rows(rows.size()), shape, grids.data(), codes.data());
}

void countThresholds(std::span<const float> thresholds, std::span<const float> values, std::span<std::uint32_t> codes)
{
    HWY_DYNAMIC_DISPATCH(CountThresholds)(thresholds, values, codes.data());
}

namespace {

std::uint32_t thresholdsBelow(std::span<const float> thresholds, float number)
{
    return static_cast<std::uint32_t>(
        std::count_if(thresholds.begin(), thresholds.end(), [number](float threshold) { return threshold < number; }));
}

std::uint32_t codeOfReference(const CodeBook16& book, float weight, const UnitGrid& grid)
{
    return thresholdsBelow(book.thresholds, std::isnan(weight) ? 0.0F : std::clamp(weight * grid.zero, -1.0F, 1.0F));
}

}  // namespace

std::uint64_t codeBookFakeQuantizeReference(const CodeBook16& book, std::span<const float> rows, const UnitShape& shape,
    std::span<const UnitGrid> grids, std::span<float> out)
{
    std::uint64_t clamped = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const UnitGrid& grid = gridAt(i, shape, grids);
        out[i] = book.levels[codeOfReference(book, rows[i], grid)] * grid.scale;
        clamped += std::isfinite(rows[i]) && std::abs(rows[i]) > grid.scale;
    }
    return clamped;
}

void codeBookEncodeReference(const CodeBook16& book, std::span<const float> rows, const UnitShape& shape,
    std::span<const UnitGrid> grids, std::span<std::uint32_t> codes)
{
    for (std::size_t i = 0; i < rows.size(); ++i)
        codes[i] = codeOfReference(book, rows[i], gridAt(i, shape, grids));
}

void countThresholdsReference(
    std::span<const float> thresholds, std::span<const float> values, std::span<std::uint32_t> codes)
{
    std::transform(values.begin(), values.end(), codes.begin(),
        [&](float value) { return thresholdsBelow(thresholds, std::isnan(value) ? 0.0F : value); });
}

void codeBookDecode(const CodeBook16& book, std::span<const std::uint32_t> codes, const UnitShape& shape,
    std::span<const UnitGrid> grids, std::span<float> out)
{
    for (std::size_t i = 0; i < codes.size(); ++i)
        out[i] = book.levels[codes[i]] * gridAt(i, shape, grids).scale;
}

}  // namespace quantloupe::kernels
#endif
