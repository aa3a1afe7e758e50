// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/ggml_families.h"
#include "core/kernels/ggml_layouts.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/ggml_iq4_blocks.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>

#include "core/kernels/ggml_lanes_inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::ggml::HWY_NAMESPACE {

// Code c is the nearest where threshold[c − 1] ≤ value < threshold[c]. The two differences that the definition compares
// are exact near their tie, so that it is there that the codes change.
struct Thresholds {
    HWY_ALIGN float all[16] = {};

    constexpr Thresholds()
    {
        for (std::size_t i = 0; i < 15; ++i)
            all[i] = 0.5F * (kIq4Levels[i] + kIq4Levels[i + 1]);
    }
};
constexpr Thresholds kThresholds;

#if HWY_TARGET != HWY_SCALAR
// Eight lanes find their level by halving: one comparison for each bit of the code, thresholds from registers.
class Levels
{
public:
    Levels()
    {
        HWY_ALIGN float fourths[8] = {}, eighths[8] = {}, even[8] = {}, odd[8] = {};
        for (std::size_t i = 0; i < 8; ++i) {
            fourths[i] = i < 4 ? kThresholds.all[4 * i + 1] : 0.0F;
            eighths[i] = kThresholds.all[2 * i];
            even[i] = kIq4Levels[2 * i];
            odd[i] = kIq4Levels[2 * i + 1];
        }
        m_fourths = hn::Load(d, fourths);
        m_eighths = hn::Load(d, eighths);
        m_even = hn::Load(d, even);
        m_odd = hn::Load(d, odd);
    }

    HWY_INLINE V level(V value) const
    {
        const VI eighth = eighthOf(value);
        const auto at = hn::IndicesFromVec(d, eighth);
        const M upper = hn::Ge(value, hn::TableLookupLanes(m_eighths, at));
        return hn::IfThenElse(upper, hn::TableLookupLanes(m_odd, at), hn::TableLookupLanes(m_even, at));
    }

    HWY_INLINE VU code(V value) const
    {
        const VI eighth = eighthOf(value);
        const M upper = hn::Ge(value, hn::TableLookupLanes(m_eighths, hn::IndicesFromVec(d, eighth)));
        return hn::BitCast(Unsigneds(), append(eighth, upper));
    }

    // of a code
    HWY_INLINE V levelOf(VU code) const
    {
        const VU half = hn::ShiftRight<1>(code);
        const auto at = hn::IndicesFromVec(d, half);
        const M upper = hn::RebindMask(d, hn::Ne(hn::And(code, hn::Set(Unsigneds(), 1U)), hn::Zero(Unsigneds())));
        return hn::IfThenElse(upper, hn::TableLookupLanes(m_odd, at), hn::TableLookupLanes(m_even, at));
    }

private:
    static constexpr Floats d {};

    // 2·code + bit
    static HWY_INLINE VI append(VI code, M bit)
    {
        return hn::Sub(hn::Add(code, code), hn::BitCast(Integers(), hn::VecFromMask(d, bit)));
    }

    HWY_INLINE VI eighthOf(V value) const
    {
        const M first = hn::Ge(value, set(kThresholds.all[7]));
        const V half = hn::IfThenElse(first, set(kThresholds.all[11]), set(kThresholds.all[3]));
        const VI quarter = append(append(hn::Zero(Integers()), first), hn::Ge(value, half));
        const V fourth = hn::TableLookupLanes(m_fourths, hn::IndicesFromVec(d, quarter));
        return append(quarter, hn::Ge(value, fourth));
    }

    V m_fourths, m_eighths, m_even, m_odd;
};
#endif

// Fewer lanes count the thresholds below them.
class LadderLevels
{
public:
    HWY_INLINE VU code(V value) const
    {
        VI code = hn::Zero(Integers());
        for (std::size_t i = 0; i < 15; ++i)
            code = hn::Sub(
                code, hn::BitCast(Integers(), hn::VecFromMask(Floats(), hn::Ge(value, set(kThresholds.all[i])))));
        return hn::BitCast(Unsigneds(), code);
    }

    HWY_INLINE V level(V value) const
    {
        V level = set(kIq4Levels[0]);
        for (std::size_t i = 0; i < 15; ++i)
            level = hn::IfThenElse(hn::Ge(value, set(kThresholds.all[i])), set(kIq4Levels[i + 1]), level);
        return level;
    }

    HWY_INLINE V levelOf(VU code) const
    {
        HWY_ALIGN std::uint32_t codes[kLanes];
        HWY_ALIGN float levels[kLanes];
        hn::Store(code, Unsigneds(), codes);
        for (std::size_t i = 0; i < kLanes; ++i)
            levels[i] = kIq4Levels[codes[i]];
        return hn::Load(Floats(), levels);
    }
};

#if HWY_TARGET != HWY_SCALAR
using Search = std::conditional_t<kLanes == 8, Levels, LadderLevels>;
#else
using Search = LadderLevels;
#endif

// The scale that serves each group best, as levelFit() of the reference: one attempt with the extreme at the upper end,
// fifteen with it between −120 and −134. Across these fifteen a value moves by less than 12 %, neighbouring thresholds
// of one sign are further apart: it crosses one at most. So two levels, and what they add to the sums, are made ready
// for each weight, and an attempt only chooses.
V LevelFit(const Search& search, const Groups& groups)
{
    const Floats d;
    constexpr std::size_t kTogether = 5;
    HWY_ALIGN float threshold[kGroup * kLanes];
    HWY_ALIGN float lowA[kGroup * kLanes], highA[kGroup * kLanes];
    HWY_ALIGN float lowB[kGroup * kLanes], highB[kGroup * kLanes];
    const V extreme = groups.extreme();
    const auto inverseOf = [extreme](int attempt)
                               HWY_ATTR { return hn::Div(set(static_cast<float>(attempt) + kIq4Levels[0]), extreme); };
    const V inverse = hn::Div(set(1.0F), hn::Div(hn::Neg(extreme), set(kIq4Levels[0])));
    const V firstInverse = inverseOf(-7), lastInverse = inverseOf(7);
    V a = hn::Zero(d), b = hn::Zero(d);
    for (std::size_t i = 0; i < kGroup; ++i) {
        const V value = groups.value(i), weight = groups.weight(i);
        const auto add = [value, weight](V level, V& sumA, V& sumB) HWY_ATTR {
            const V weighted = hn::Mul(weight, level);
            sumA = hn::Add(sumA, hn::Mul(weighted, value));
            sumB = hn::Add(sumB, hn::Mul(weighted, level));
        };
        add(search.level(hn::Mul(inverse, value)), a, b);
        const V first = search.level(hn::Mul(firstInverse, value));
        const V last = search.level(hn::Mul(lastInverse, value));
        const auto prepare = [&](V level, float* termA, float* termB) HWY_ATTR {
            const V weighted = hn::Mul(weight, level);
            hn::Store(hn::Mul(weighted, value), d, termA + i * kLanes);
            hn::Store(hn::Mul(weighted, level), d, termB + i * kLanes);
        };
        prepare(hn::Min(first, last), lowA, lowB);
        prepare(hn::Max(first, last), highA, highB);
        hn::Store(hn::Mul(set(0.5F), hn::Add(first, last)), d, threshold + i * kLanes);
    }
    V scale = hn::IfThenElseZero(hn::Gt(b, hn::Zero(d)), hn::Div(a, b));
    V best = hn::Mul(scale, a);
    for (int attempt = -7; attempt <= 7; attempt += static_cast<int>(kTogether)) {
        V inverses[kTogether], sumA[kTogether], sumB[kTogether];
        HWY_UNROLL(8)
        for (std::size_t k = 0; k < kTogether; ++k) {
            inverses[k] = inverseOf(attempt + static_cast<int>(k));
            sumA[k] = sumB[k] = hn::Zero(d);
        }
        for (std::size_t i = 0; i < kGroup; ++i) {
            const V value = groups.value(i), limit = hn::Load(d, threshold + i * kLanes);
            HWY_UNROLL(8)
            for (std::size_t k = 0; k < kTogether; ++k) {
                const M high = hn::Ge(hn::Mul(inverses[k], value), limit);
                const std::size_t at = i * kLanes;
                sumA[k] = hn::Add(sumA[k], hn::IfThenElse(high, hn::Load(d, highA + at), hn::Load(d, lowA + at)));
                sumB[k] = hn::Add(sumB[k], hn::IfThenElse(high, hn::Load(d, highB + at), hn::Load(d, lowB + at)));
            }
        }
        HWY_UNROLL(8)
        for (std::size_t k = 0; k < kTogether; ++k) {
            const M better =
                hn::And(hn::Gt(sumB[k], hn::Zero(d)), hn::Gt(hn::Mul(sumA[k], sumA[k]), hn::Mul(best, sumB[k])));
            scale = hn::IfThenElse(better, hn::Div(sumA[k], sumB[k]), scale);
            best = hn::IfThenElse(better, hn::Mul(scale, sumA[k]), best);
        }
    }
    return hn::IfThenElseZero(hn::Ge(hn::Abs(extreme), set(kNothing)), scale);
}

HWY_INLINE void Place(const Search& search, const float* values, float scale, std::byte* nibbles)
{
    const V inverse = set(finiteReciprocal(scale));
    storePairs(values, nibbles, [&](V low, V high) HWY_ATTR {
        const VU upper = hn::ShiftLeft<4>(search.code(hn::Mul(inverse, high)));
        return hn::Or(search.code(hn::Mul(inverse, low)), upper);
    });
}

void EncodeNonLinear(
    const float* rows, std::size_t blockCount, std::size_t columns, const float* importance, std::byte* out)
{
    const Floats d;
    const Search search;
    Groups groups;
    HWY_ALIGN float scales[kLanes];
    for (std::size_t first = 0; first < blockCount; first += kLanes) {
        const std::size_t count = HWY_MIN(kLanes, blockCount - first);
        groups.load(rows + first * kGroup, count);
        if (importance) {
            std::size_t offsets[kLanes] = {};
            for (std::size_t lane = 0; lane < count; ++lane)
                offsets[lane] = (first + lane) * kGroup % columns;
            V sum = hn::Zero(d);
            for (std::size_t i = 0; i < kGroup; ++i)
                sum = hn::Add(sum, hn::Mul(groups.value(i), groups.value(i)));
            HWY_ALIGN float meanSquares[kLanes];
            hn::Store(hn::Mul(sum, set(2.0F / 32.0F)), d, meanSquares);
            groups.weigh(importance, offsets, meanSquares);
        } else {
            groups.weighBySquares();
        }
        hn::Store(LevelFit(search, groups), d, scales);
        for (std::size_t lane = 0; lane < count; ++lane, out += 18) {
            storeHalf(out, saturatedHalf(scales[lane]));
            Place(search, groups.plain + lane * kGroup, scales[lane], out + 2);
        }
    }
}

// One block from the scales of its groups.
void FinishExtraSmall(const Search& search, const float* values, const float* scales, std::byte* out)
{
    const float scale = -extremeOf({scales, 8}) / 32.0F;
    const float inverse = finiteReciprocal(scale);
    storeHalf(out, saturatedHalf(scale));
    unsigned low = 0, high = 0;
    for (unsigned group = 0; group < 8; ++group) {
        const int steps = std::clamp(nearestInteger(inverse * scales[group]), -32, 31);
        const auto stored = static_cast<unsigned>(steps + 32);
        low |= (stored & 0xfU) << 4U * group;
        high |= stored >> 4U << 2U * group;
        Place(search, values + kGroup * group, scale * static_cast<float>(steps), out + 8 + std::size_t {16} * group);
    }
    storeHalf(out + 2, static_cast<std::uint16_t>(high));
    storeHalf(out + 4, static_cast<std::uint16_t>(low & 0xffffU));
    storeHalf(out + 6, static_cast<std::uint16_t>(low >> 16U));
}

void EncodeExtraSmall(
    const float* rows, std::size_t blockCount, std::size_t columns, const float* importance, std::byte* out)
{
    constexpr std::size_t kElements = 256, kBatch = 8;
    const Floats d;
    const Search search;
    Groups groups;
    HWY_ALIGN float values[kElements];
    HWY_ALIGN float scales[8];
    float sums[kBatch] = {};
    for (std::size_t block = 0; block < blockCount; ++block, out += 136) {
        const float* source = rows + block * kElements;
        if (importance && block % kBatch == 0)
            sumsOfSquares(source, kElements, HWY_MIN(kBatch, blockCount - block), kElements, sums);
        for (std::size_t group = 0; group < 8; group += kLanes) {
            groups.load(source + group * kGroup, kLanes);
            if (importance) {
                std::size_t offsets[kLanes];
                float meanSquares[kLanes];
                for (std::size_t lane = 0; lane < kLanes; ++lane) {
                    offsets[lane] = block * kElements % columns + (group + lane) * kGroup;
                    meanSquares[lane] = sums[block % kBatch] * (2.0F / 256.0F);
                }
                groups.weigh(importance, offsets, meanSquares);
            } else {
                groups.weighBySquares();
            }
            hn::Store(LevelFit(search, groups), d, scales + group);
            for (std::size_t i = 0; i < kLanes * kGroup; i += kLanes)
                hn::Store(hn::Load(d, groups.plain + i), d, values + group * kGroup + i);
        }
        FinishExtraSmall(search, values, scales, out);
    }
}

void Decode(const std::byte* blocks, std::size_t blockCount, bool nonLinear, float* out)
{
    const Floats d;
    const Search search;
    for (std::size_t block = 0; block < blockCount; ++block, blocks += nonLinear ? 18 : 136) {
        const float whole = halfToFloat(loadHalf(blocks));
        for (std::size_t group = 0; group < (nonLinear ? 1 : 8); ++group, out += kGroup) {
            const float own = nonLinear ? whole : whole * static_cast<float>(iq4GroupScale(blocks, group));
            const V scale = set(own);
            forNibbleCodes(blocks + (nonLinear ? 2 : 8 + 16 * group),
                [&](std::size_t i, VU code) HWY_ATTR { hn::StoreU(hn::Mul(scale, search.levelOf(code)), d, out + i); });
        }
    }
}

}  // namespace quantloupe::kernels::ggml::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels::ggml {

HWY_EXPORT(EncodeNonLinear);
HWY_EXPORT(EncodeExtraSmall);
HWY_EXPORT(Decode);

void iq4Encode(GgmlBlock block, std::span<const float> rows, std::size_t columns, std::span<const float> importance,
    std::span<std::byte> out)
{
    const std::size_t blockCount = rows.size() / ggmlBlockSize(block).elements;
    const float* weights = importance.empty() ? nullptr : importance.data();
    if (block == GgmlBlock::Iq4Nl)
        HWY_DYNAMIC_DISPATCH(EncodeNonLinear)(rows.data(), blockCount, columns, weights, out.data());
    else
        HWY_DYNAMIC_DISPATCH(EncodeExtraSmall)(rows.data(), blockCount, columns, weights, out.data());
}

void iq4Decode(GgmlBlock block, std::span<const std::byte> blocks, std::span<float> out)
{
    HWY_DYNAMIC_DISPATCH(Decode)
    (blocks.data(), out.size() / ggmlBlockSize(block).elements, block == GgmlBlock::Iq4Nl, out.data());
}

}  // namespace quantloupe::kernels::ggml
#endif
