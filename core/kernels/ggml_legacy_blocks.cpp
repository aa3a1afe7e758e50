// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/ggml_families.h"
#include "core/kernels/ggml_layouts.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/ggml_legacy_blocks.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include "core/kernels/ggml_lanes_inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::ggml::HWY_NAMESPACE {

// Where the codes of kLanes groups come from.
struct Grids {
    HWY_ALIGN std::uint32_t scale[kLanes];        // binary16
    HWY_ALIGN std::uint32_t halfMinimum[kLanes];  // binary16
    HWY_ALIGN float minimum[kLanes];
    HWY_ALIGN float inverse[kLanes];  // code = rounded (value − minimum) · inverse

    void setScale(V value)
    {
        hn::Store(saturatedHalves(value), Unsigneds(), scale);
        hn::Store(finiteReciprocals(value), Floats(), inverse);
    }
};

// The lowest and the highest value of each of kLanes groups, one after the other; of equal zeros any. Returns whether
// all values may be used as they are: finite, and not too large.
HWY_INLINE bool findEnds(const float* values, V& lowest, V& top)
{
    const Floats d;
    [[maybe_unused]] V ends[kLanes];
    V sum = hn::Zero(d);  // a NaN does not leave it
    HWY_UNROLL(8)
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
        V own = hn::LoadU(d, values + lane * kGroup);
        V low = own, high = own;
        HWY_UNROLL(8)
        for (std::size_t i = kLanes; i < kGroup; i += kLanes) {
            const V value = hn::LoadU(d, values + lane * kGroup + i);
            own = hn::Add(own, value);
            low = hn::Min(low, value);
            high = hn::Max(high, value);
        }
        sum = hn::Add(sum, own);
#if HWY_TARGET == HWY_SCALAR
        lowest = low;
        top = high;
    }
#else
        // Low ends in even lanes, high ones, turned, in odd lanes.
        high = hn::Neg(high);
        ends[lane] = hn::Min(hn::InterleaveLower(d, low, high), hn::InterleaveUpper(d, low, high));
    }
    transpose(ends);
    lowest = ends[0];
    top = ends[1];
    HWY_UNROLL(8)
    for (std::size_t i = 2; i < kLanes; i += 2) {
        lowest = hn::Min(lowest, ends[i]);
        top = hn::Min(top, ends[i + 1]);
    }
    top = hn::Neg(top);
#endif
    const M within = hn::And(hn::Ge(lowest, set(-kLargestWeight)), hn::Le(top, set(kLargestWeight)));
    return hn::AllTrue(d, hn::And(within, hn::Eq(sum, sum)));
}

// kLanes groups and their ends, as they are or made finite, padded with zeros.
HWY_INLINE const float* finiteGroups(const float* source, std::size_t count, float* scratch, V& lowest, V& top)
{
    if (count == kLanes && findEnds(source, lowest, top))
        return source;
    const Floats d;
    for (std::size_t i = 0; i < kLanes * kGroup; i += kLanes)
        hn::Store(i < count * kGroup ? finiteWeights(hn::LoadU(d, source + i)) : hn::Zero(d), d, scratch + i);
    findEnds(scratch, lowest, top);
    return scratch;
}

// plainSigned() of the reference, without the codes.
void placeSigned(const float* values, V lowest, V top, int levels, Grids& grids)
{
    const Floats d;
    V extreme = hn::IfThenElse(hn::Gt(top, hn::Neg(lowest)), top, lowest);
    const M tied = hn::And(hn::Eq(top, hn::Neg(lowest)), hn::Gt(top, hn::Zero(d)));
    if (!hn::AllFalse(d, tied)) {  // the first of the two decides
        HWY_ALIGN float found[kLanes];
        for (std::size_t lane = 0; lane < kLanes; ++lane)
            found[lane] = extremeOf({values + lane * kGroup, kGroup});
        extreme = hn::IfThenElse(tied, hn::Load(d, found), extreme);
    }
    extreme = hn::Add(extreme, hn::Zero(d));  // −0 as 0
    grids.setScale(hn::Div(extreme, set(static_cast<float>(-levels))));
}

// plainAffine() of the reference, without the codes.
void placeAffine(const float* values, V lowest, V top, int highest, Grids& grids)
{
    const Floats d;
    if (!hn::AllFalse(d, hn::Eq(lowest, hn::Zero(d)))) {  // the first zero's sign is stored
        HWY_ALIGN float low[kLanes];
        hn::Store(lowest, d, low);
        for (std::size_t lane = 0; lane < kLanes; ++lane)
            if (low[lane] == 0.0F)
                low[lane] = *std::find(values + lane * kGroup, values + (lane + 1) * kGroup, 0.0F);
        lowest = hn::Load(d, low);
        top = hn::IfThenElse(hn::Eq(top, lowest), lowest, top);
    }
    grids.setScale(hn::Div(hn::Sub(top, lowest), set(static_cast<float>(highest))));
    hn::Store(saturatedHalves(lowest), Unsigneds(), grids.halfMinimum);
    hn::Store(lowest, d, grids.minimum);
}

// kLanes groups on their way.
struct Batch {
    Grids grids;
    const float* values;  // where they were found, or finite
    std::size_t count;
    HWY_ALIGN float finite[kLanes * kGroup];
};

template<GgmlBlock kBlock>
HWY_INLINE void place(const float* source, std::size_t count, Batch& batch)
{
    constexpr LegacyLayout layout(kBlock);
    V lowest, top;
    batch.count = count;
    batch.values = finiteGroups(source, count, batch.finite, lowest, top);
    if constexpr (kBlock == GgmlBlock::Q8_0)
        batch.grids.setScale(hn::Div(hn::Max(hn::Abs(lowest), hn::Abs(top)), set(127.0F)));
    else if constexpr (layout.hasMinimum)
        placeAffine(batch.values, lowest, top, layout.highest(), batch.grids);
    else
        placeSigned(batch.values, lowest, top, layout.levels(), batch.grids);
}

template<GgmlBlock kBlock>
HWY_INLINE void storeGroup(const float* values, const Grids& grids, std::size_t lane, std::byte* out)
{
    constexpr LegacyLayout layout(kBlock);
    const V inverse = set(grids.inverse[lane]);
    const V minimum = set(layout.hasMinimum ? grids.minimum[lane] : 0.0F);
    const V middle = set(layout.hasMinimum ? 0.5F : static_cast<float>(layout.levels()) + 0.5F);
    const V highest = set(static_cast<float>(layout.highest()));
    storeHalf(out, static_cast<std::uint16_t>(grids.scale[lane]));
    if constexpr (layout.hasMinimum)
        storeHalf(out + 2, static_cast<std::uint16_t>(grids.halfMinimum[lane]));
    storeLegacyCodes(values, layout, out, [=](V value) HWY_ATTR {
        const V distance = layout.hasMinimum ? hn::Sub(value, minimum) : value;
        const V code = hn::Trunc(hn::Add(hn::Mul(distance, inverse), middle));
        // From the minimum on, none is larger: a whole range is `highest` steps, and a few roundings are not half of
        // one.
        return layout.hasMinimum ? code : hn::Min(code, highest);
    });
}

template<>
HWY_INLINE void storeGroup<GgmlBlock::Q8_0>(const float* values, const Grids& grids, std::size_t lane, std::byte* out)
{
    const Floats d;
    const hn::Rebind<std::int8_t, Floats> narrow;
    const V inverse = set(grids.inverse[lane]);
    storeHalf(out, static_cast<std::uint16_t>(grids.scale[lane]));
    for (std::size_t i = 0; i < kGroup; i += kLanes) {
        // Half away from zero: truncated after the largest number below one half is added.
        const V distance = hn::Mul(hn::LoadU(d, values + i), inverse);
        const V whole = hn::Add(distance, hn::CopySign(set(0x0.ffffffp-1F), distance));
        const auto code = hn::DemoteTo(narrow, hn::ConvertTo(Integers(), whole));
        hn::StoreU(code, narrow, reinterpret_cast<std::int8_t*>(out + 2 + i));
    }
}

// A batch is placed before the codes of the one before are stored: its divisions have that long to finish.
template<GgmlBlock kBlock>
void encodeBlocks(const float* rows, std::size_t blockCount, std::byte* out)
{
    constexpr std::size_t kBytes = ggmlBlockSize(kBlock).bytes;
    Batch batches[2];
    if (blockCount > 0)
        place<kBlock>(rows, HWY_MIN(kLanes, blockCount), batches[0]);
    for (std::size_t first = 0; first < blockCount; first += kLanes) {
        const std::size_t next = first + kLanes, ahead = next * kGroup + 2048;
        if (ahead + kLanes * kGroup <= blockCount * kGroup) {
            HWY_UNROLL(16)
            for (std::size_t i = 0; i < kLanes * kGroup; i += 16)
                hwy::Prefetch(rows + ahead + i);
        }
        if (next < blockCount)
            place<kBlock>(rows + next * kGroup, HWY_MIN(kLanes, blockCount - next), batches[next / kLanes % 2]);
        const Batch& batch = batches[first / kLanes % 2];
        for (std::size_t lane = 0; lane < batch.count; ++lane, out += kBytes)
            storeGroup<kBlock>(batch.values + lane * kGroup, batch.grids, lane, out);
    }
}

template<GgmlBlock kBlock>
void decodeBlocks(const std::byte* HWY_RESTRICT blocks, std::size_t blockCount, float* HWY_RESTRICT out)
{
    constexpr LegacyLayout layout(kBlock);
    const Floats d;
    const Integers di;
    const Unsigneds du;
    for (std::size_t block = 0; block < blockCount; ++block, blocks += layout.bytes(), out += kGroup) {
        const V scale = set(halfToFloat(loadHalf(blocks)));
        const V minimum = set(layout.hasMinimum ? halfToFloat(loadHalf(blocks + 2)) : 0.0F);
        const VI middle = hn::Set(di, layout.levels());
        std::uint32_t fifth = 0;
        if constexpr (layout.hasFifthBit)
            fifth = loadHalf(blocks + layout.fifthBits())
                | static_cast<std::uint32_t>(loadHalf(blocks + layout.fifthBits() + 2)) << 16U;
        forNibbleCodes(blocks + layout.nibbles(), [=](std::size_t i, VU nibble) HWY_ATTR {
            VU code = nibble;
            if constexpr (layout.hasFifthBit) {
                const VU bits = hn::Shr(hn::Set(du, fifth >> i), hn::Iota(du, 0));
                code = hn::Or(nibble, hn::ShiftLeft<4>(hn::And(bits, hn::Set(du, 1U))));
            }
            const VI whole = hn::BitCast(di, code);
            if constexpr (layout.hasMinimum)
                hn::StoreU(hn::Add(hn::Mul(hn::ConvertTo(d, whole), scale), minimum), d, out + i);
            else
                hn::StoreU(hn::Mul(hn::ConvertTo(d, hn::Sub(whole, middle)), scale), d, out + i);
        });
    }
}

void decodeWholeBytes(const std::byte* HWY_RESTRICT blocks, std::size_t blockCount, float* HWY_RESTRICT out)
{
    const hn::CappedTag<float, 16> d;
    const hn::RebindToSigned<decltype(d)> di;
    const hn::Rebind<std::int8_t, decltype(d)> narrow;
    for (std::size_t block = 0; block < blockCount; ++block, blocks += 34, out += kGroup) {
        const auto scale = hn::Set(d, halfToFloat(loadHalf(blocks)));
        for (std::size_t i = 0; i < kGroup; i += hn::Lanes(d)) {
            const auto codes = hn::LoadU(narrow, reinterpret_cast<const std::int8_t*>(blocks + 2 + i));
            hn::StoreU(hn::Mul(hn::ConvertTo(d, hn::PromoteTo(di, codes)), scale), d, out + i);
        }
    }
}

void EncodePlain(GgmlBlock block, const float* rows, std::size_t blockCount, std::byte* out)
{
    switch (block) {
    case GgmlBlock::Q4_0: encodeBlocks<GgmlBlock::Q4_0>(rows, blockCount, out); break;
    case GgmlBlock::Q4_1: encodeBlocks<GgmlBlock::Q4_1>(rows, blockCount, out); break;
    case GgmlBlock::Q5_0: encodeBlocks<GgmlBlock::Q5_0>(rows, blockCount, out); break;
    case GgmlBlock::Q5_1: encodeBlocks<GgmlBlock::Q5_1>(rows, blockCount, out); break;
    case GgmlBlock::Q8_0: encodeBlocks<GgmlBlock::Q8_0>(rows, blockCount, out); break;
    default: break;
    }
}

void Decode(GgmlBlock block, const std::byte* blocks, std::size_t blockCount, float* out)
{
    switch (block) {
    case GgmlBlock::Q4_0: decodeBlocks<GgmlBlock::Q4_0>(blocks, blockCount, out); break;
    case GgmlBlock::Q4_1: decodeBlocks<GgmlBlock::Q4_1>(blocks, blockCount, out); break;
    case GgmlBlock::Q5_0: decodeBlocks<GgmlBlock::Q5_0>(blocks, blockCount, out); break;
    case GgmlBlock::Q5_1: decodeBlocks<GgmlBlock::Q5_1>(blocks, blockCount, out); break;
    case GgmlBlock::Q8_0: decodeWholeBytes(blocks, blockCount, out); break;
    default: break;
    }
}

}  // namespace quantloupe::kernels::ggml::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels::ggml {

HWY_EXPORT(EncodePlain);
HWY_EXPORT(Decode);

void legacyEncode(GgmlBlock block, std::span<const float> rows, std::size_t columns, std::span<const float> importance,
    std::span<std::byte> out)
{
    if (importance.empty() || block == GgmlBlock::Q8_0)
        HWY_DYNAMIC_DISPATCH(EncodePlain)(block, rows.data(), rows.size() / kGroup, out.data());
    else
        legacyEncodeWeighted(block, rows, columns, importance, out);
}

void legacyDecode(GgmlBlock block, std::span<const std::byte> blocks, std::span<float> out)
{
    HWY_DYNAMIC_DISPATCH(Decode)(block, blocks.data(), out.size() / kGroup, out.data());
}

}  // namespace quantloupe::kernels::ggml
#endif
