// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/ggml_families.h"
#include "core/kernels/ggml_layouts.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/ggml_legacy_weighted.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>

#include "core/kernels/ggml_lanes_inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::ggml::HWY_NAMESPACE {

// The factor of a group without codes: none is infinite.
constexpr float kNoCodes = std::numeric_limits<float>::infinity();

// Where the codes of kLanes groups come from, and what is stored beside them.
struct WeightedGrids {
    HWY_ALIGN std::uint32_t scale[kLanes];    // binary16
    HWY_ALIGN std::uint32_t minimum[kLanes];  // binary16
    HWY_ALIGN float inverse[kLanes];          // code = rounded inverse · (value − base)
    HWY_ALIGN float base[kLanes];
};

// signedFit(), lane by lane. The codes of an attempt follow from its factor, which is all that is kept of the best.
// A group of zeros has codes of its own.
void fitSigned(const Groups& groups, int levelCount, WeightedGrids& grids)
{
    const Floats d;
    constexpr std::size_t kTogether = 4;
    const auto levels = static_cast<float>(levelCount);
    const V lowest = set(-levels), highest = set(levels - 1.0F);
    const V extreme = groups.extreme();
    V scale = hn::Zero(d), best = hn::Zero(d), chosen = hn::Zero(d);
    for (int attempt = 0; attempt < 19; attempt += static_cast<int>(kTogether)) {
        V inverses[kTogether], a[kTogether], b[kTogether];
        HWY_UNROLL(8)
        for (std::size_t k = 0; k < kTogether; ++k) {
            const int number = HWY_MIN(attempt + static_cast<int>(k), 18);  // the last one twice: no harm
            const int shift = number == 0 ? 0 : number <= 9 ? number - 10 : number - 9;
            inverses[k] = hn::Div(set(-(levels + 0.1F * static_cast<float>(shift))), extreme);
            a[k] = b[k] = hn::Zero(d);
        }
        for (std::size_t i = 0; i < kGroup; ++i) {
            const V value = groups.value(i), weight = groups.weight(i);
            const V weighted = hn::Mul(weight, value);
            HWY_UNROLL(8)
            for (std::size_t k = 0; k < kTogether; ++k) {
                const V near = nearestSmall(hn::Mul(inverses[k], value));
                const V code = hn::Min(hn::Max(near, lowest), highest);
                a[k] = hn::Add(a[k], hn::Mul(weighted, code));
                b[k] = hn::Add(b[k], hn::Mul(hn::Mul(weight, code), code));
            }
        }
        HWY_UNROLL(8)
        for (std::size_t k = 0; k < kTogether; ++k) {
            M better = hn::And(hn::Gt(b[k], hn::Zero(d)), hn::Gt(hn::Mul(a[k], a[k]), hn::Mul(best, b[k])));
            if (attempt == 0 && k == 0)
                better = hn::Eq(extreme, extreme);
            const V ratio = hn::IfThenElseZero(hn::Ne(b[k], hn::Zero(d)), hn::Div(a[k], b[k]));
            scale = hn::IfThenElse(better, ratio, scale);
            best = hn::IfThenElse(better, hn::Mul(ratio, a[k]), best);
            chosen = hn::IfThenElse(better, inverses[k], chosen);
        }
    }
    const M zero = hn::Lt(hn::Abs(extreme), set(kNothing));
    hn::Store(saturatedHalves(hn::IfThenZeroElse(zero, scale)), Unsigneds(), grids.scale);
    hn::Store(hn::IfThenElse(zero, set(kNoCodes), chosen), d, grids.inverse);
}

// The codes of one candidate of affineFit(), as floats.
HWY_INLINE V affineCodes(V value, V inverse, V minimum, VI highest)
{
    const VI near = nearestIntegers(hn::Mul(inverse, hn::Sub(value, minimum)));
    return hn::ConvertTo(Floats(), hn::Min(hn::Max(near, hn::Zero(Integers())), highest));
}

// affineFit() with its usual search, lane by lane.
void fitAffine(const Groups& groups, int highestLevel, WeightedGrids& grids)
{
    const Floats d;
    constexpr AffineSearch search;
    const auto highestCode = static_cast<float>(highestLevel);
    const VI highest = hn::Set(Integers(), highestLevel);
    HWY_ALIGN float tried[kGroup * kLanes];
    V lowest = groups.value(0), top = lowest;
    V sumW = groups.weight(0), sumX = hn::Mul(sumW, lowest);
    for (std::size_t i = 1; i < kGroup; ++i) {
        const V value = groups.value(i), weight = groups.weight(i);
        lowest = hn::IfThenElse(hn::Lt(value, lowest), value, lowest);
        top = hn::IfThenElse(hn::Gt(value, top), value, top);
        sumW = hn::Add(sumW, weight);
        sumX = hn::Add(sumX, hn::Mul(weight, value));
    }
    lowest = hn::IfThenZeroElse(hn::Gt(lowest, hn::Zero(d)), lowest);
    const M flat = hn::Le(top, lowest);
    const auto errorOf = [&](V scale, V minimum) HWY_ATTR {
        V error = hn::Zero(d);
        for (std::size_t i = 0; i < kGroup; ++i) {
            const V code = hn::Load(d, tried + i * kLanes);
            const V difference = hn::Sub(hn::Add(hn::Mul(scale, code), minimum), groups.value(i));
            error = hn::Add(error, hn::Mul(groups.weight(i), hn::Mul(difference, difference)));
        }
        return error;
    };
    V minimum = lowest, chosenMinimum = lowest;
    V chosen = hn::Div(set(highestCode), hn::Sub(top, lowest));
    V scale = hn::Div(set(1.0F), chosen);
    for (std::size_t i = 0; i < kGroup; ++i)
        hn::Store(affineCodes(groups.value(i), chosen, minimum, highest), d, tried + i * kLanes);
    V best = errorOf(scale, minimum);
    for (int k = 0; k <= search.steps; ++k) {
        const V stretch = set(search.first + search.step * static_cast<float>(k) + highestCode);
        const V inverse = hn::Div(stretch, hn::Sub(top, minimum));
        V sumL = hn::Zero(d), sumLl = hn::Zero(d), sumLx = hn::Zero(d);
        for (std::size_t i = 0; i < kGroup; ++i) {
            const V value = groups.value(i);
            const V code = affineCodes(value, inverse, minimum, highest);
            hn::Store(code, d, tried + i * kLanes);
            const V weighted = hn::Mul(groups.weight(i), code);
            sumL = hn::Add(sumL, weighted);
            sumLl = hn::Add(sumLl, hn::Mul(weighted, code));
            sumLx = hn::Add(sumLx, hn::Mul(weighted, value));
        }
        const V determinant = hn::Sub(hn::Mul(sumW, sumLl), hn::Mul(sumL, sumL));
        V newScale = hn::Div(hn::Sub(hn::Mul(sumW, sumLx), hn::Mul(sumX, sumL)), determinant);
        V newMinimum = hn::Div(hn::Sub(hn::Mul(sumLl, sumX), hn::Mul(sumL, sumLx)), determinant);
        const M above = hn::Gt(newMinimum, hn::Zero(d));
        newScale = hn::IfThenElse(above, hn::Div(sumLx, sumLl), newScale);
        newMinimum = hn::IfThenZeroElse(above, newMinimum);
        const V error = errorOf(newScale, newMinimum);
        const M better = hn::And(hn::Gt(determinant, hn::Zero(d)), hn::Lt(error, best));
        best = hn::IfThenElse(better, error, best);
        chosen = hn::IfThenElse(better, inverse, chosen);
        chosenMinimum = hn::IfThenElse(better, minimum, chosenMinimum);
        scale = hn::IfThenElse(better, newScale, scale);
        minimum = hn::IfThenElse(better, newMinimum, minimum);
    }
    hn::Store(saturatedHalves(hn::IfThenZeroElse(flat, scale)), Unsigneds(), grids.scale);
    hn::Store(saturatedHalves(hn::IfThenElse(flat, lowest, minimum)), Unsigneds(), grids.minimum);
    hn::Store(hn::IfThenZeroElse(flat, chosen), d, grids.inverse);
    hn::Store(chosenMinimum, d, grids.base);
}

template<GgmlBlock kBlock>
HWY_INLINE void storeWeightedGroup(const float* values, const WeightedGrids& grids, std::size_t lane, std::byte* out)
{
    constexpr LegacyLayout layout(kBlock);
    constexpr auto levels = static_cast<float>(layout.levels());
    const V inverse = set(grids.inverse[lane]);
    storeHalf(out, static_cast<std::uint16_t>(grids.scale[lane]));
    if constexpr (layout.hasMinimum) {
        storeHalf(out + 2, static_cast<std::uint16_t>(grids.minimum[lane]));
        const V base = set(grids.base[lane]);
        const VI highest = hn::Set(Integers(), layout.highest());
        storeLegacyCodes(
            values, layout, out, [=](V value) HWY_ATTR { return affineCodes(value, inverse, base, highest); });
    } else if (grids.inverse[lane] == kNoCodes) {
        std::fill(out + 2, out + layout.bytes(), std::byte {0});
    } else {
        storeLegacyCodes(values, layout, out, [=](V value) HWY_ATTR {
            const V near = nearestSmall(hn::Mul(value, inverse));
            const V code = hn::Min(hn::Max(near, set(-levels)), set(levels - 1.0F));
            return hn::Add(code, set(levels));
        });
    }
}

template<GgmlBlock kBlock>
void encodeWeightedBlocks(
    const float* rows, std::size_t blockCount, std::size_t columns, const float* importance, std::byte* out)
{
    constexpr LegacyLayout layout(kBlock);
    constexpr std::size_t kBatch = 8;
    const std::size_t rowCount = blockCount * kGroup / columns;
    float sums[kBatch] = {};
    Groups groups;
    WeightedGrids grids;
    std::size_t summed = 0;  // rows whose squares are summed
    for (std::size_t first = 0; first < blockCount; first += kLanes) {
        const std::size_t count = HWY_MIN(kLanes, blockCount - first);
        std::size_t offsets[kLanes] = {};
        float meanSquares[kLanes] = {};
        for (std::size_t lane = 0; lane < count; ++lane) {
            const std::size_t at = (first + lane) * kGroup, row = at / columns;
            if (row == summed) {
                const std::size_t batch = HWY_MIN(kBatch, rowCount - row);
                sumsOfSquares(rows + row * columns, columns, batch, columns, sums);
                summed += batch;
            }
            offsets[lane] = at % columns;
            meanSquares[lane] = sums[row % kBatch] / static_cast<float>(columns);
        }
        groups.load(rows + first * kGroup, count);
        groups.weigh(importance, offsets, meanSquares);
        if constexpr (layout.hasMinimum)
            fitAffine(groups, layout.highest(), grids);
        else
            fitSigned(groups, layout.levels(), grids);
        for (std::size_t lane = 0; lane < count; ++lane, out += layout.bytes())
            storeWeightedGroup<kBlock>(groups.plain + lane * kGroup, grids, lane, out);
    }
}

void EncodeWeighted(GgmlBlock block, const float* rows, std::size_t blockCount, std::size_t columns,
    const float* importance, std::byte* out)
{
    switch (block) {
    case GgmlBlock::Q4_0: encodeWeightedBlocks<GgmlBlock::Q4_0>(rows, blockCount, columns, importance, out); break;
    case GgmlBlock::Q4_1: encodeWeightedBlocks<GgmlBlock::Q4_1>(rows, blockCount, columns, importance, out); break;
    case GgmlBlock::Q5_0: encodeWeightedBlocks<GgmlBlock::Q5_0>(rows, blockCount, columns, importance, out); break;
    case GgmlBlock::Q5_1: encodeWeightedBlocks<GgmlBlock::Q5_1>(rows, blockCount, columns, importance, out); break;
    default: break;
    }
}

}  // namespace quantloupe::kernels::ggml::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels::ggml {

HWY_EXPORT(EncodeWeighted);

void legacyEncodeWeighted(GgmlBlock block, std::span<const float> rows, std::size_t columns,
    std::span<const float> importance, std::span<std::byte> out)
{
    HWY_DYNAMIC_DISPATCH(EncodeWeighted)
    (block, rows.data(), rows.size() / kGroup, columns, importance.data(), out.data());
}

}  // namespace quantloupe::kernels::ggml
#endif
