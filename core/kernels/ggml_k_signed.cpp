// SPDX-License-Identifier: GPL-3.0-or-later
// Q3_K, Q6_K: codes to both sides of zero.
#include "core/kernels/ggml_k_rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/ggml_k_signed.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>

#include "core/kernels/ggml_k_chunk_inl.h"
#include "core/kernels/ggml_k_signed_fits_inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE::k_quants {

inline constexpr std::size_t kSignedGroups = 16, kSignedLength = 16;

// What the searches found, by group. Codes of the search: those that `inverse` gives, or as they are (by vector of
// groups, then as [i][lane]).
struct SignedFound {
    HWY_ALIGN float scale[kChunk * kSignedGroups] = {};
    HWY_ALIGN float inverse[kChunk * kSignedGroups] = {};
    HWY_ALIGN float sumOfWeights[kChunk * kSignedGroups] = {};
    HWY_ALIGN float codes[kChunk * kSuperBlock] = {};
};

template<GgmlBlock block>
inline constexpr float kLevels = block == GgmlBlock::Q3_K ? 4.0F : 32.0F;

template<GgmlBlock block, bool important>
HWY_INLINE void SearchSignedGroups(const KChunk& chunk, SignedFound& found)
{
    HWY_ALIGN float x[kSignedLength * Double::lanes];
    HWY_ALIGN float w[kSignedLength * Double::lanes];
    for (std::size_t first = 0; first < chunk.count * kSignedGroups; first += Double::lanes) {
        LoadGroups<Double>(chunk.values, first, kSignedLength, x);
        auto sum = Double::set(0.0F);
        if (important) {
            LoadGroups<Double>(chunk.importance, first, kSignedLength, w);
            if (block == GgmlBlock::Q3_K)
                WeighByImportance<Double>(chunk, first, kSignedLength, x, w);
            for (std::size_t i = 0; i < kSignedLength * Double::lanes; i += Double::lanes)
                sum = Add(sum, Double::load(w + i));
        } else {
            for (std::size_t i = 0; i < kSignedLength * Double::lanes; i += Double::lanes)
                Double::store(Mul(Double::load(x + i), Double::load(x + i)), w + i);
        }
        auto inverse = Double::set(0.0F);
        Double::store(SignedFitLanes<Double>(kSignedLength, x, w, kLevels<block>, inverse), found.scale + first);
        Double::store(inverse, found.inverse + first);
        Double::store(sum, found.sumOfWeights + first);
    }
}

// Q3_K without importance: the codes of one group depend on each other.
HWY_INLINE void DescendGroups(const KChunk& chunk, SignedFound& found)
{
    HWY_ALIGN float x[kSignedLength * kLanes];
    for (std::size_t first = 0; first < chunk.count * kSignedGroups; first += kLanes) {
        LoadGroups<Single>(chunk.values, first, kSignedLength, x);
        Single::store(
            DescendingFitLanes(kSignedLength, x, 4.0F, found.codes + first * kSignedLength), found.scale + first);
    }
}

// Q3_K's scales by importance: a super-block per lane.
HWY_INLINE void FitSignedScales(const SignedFound& found, SmallScales* scales)
{
    HWY_ALIGN float x[kSignedGroups * kLanes];
    HWY_ALIGN float w[kSignedGroups * kLanes];
    HWY_ALIGN float d[kLanes];
    HWY_ALIGN float inverses[kLanes];
    for (std::size_t first = 0; first < kChunk; first += kLanes) {
        TransposeIntoLanes(found.scale + first * kSignedGroups, kSignedGroups, kSignedGroups, kLanes, x);
        TransposeIntoLanes(found.sumOfWeights + first * kSignedGroups, kSignedGroups, kSignedGroups, kLanes, w);
        auto inverse = Single::set(0.0F);
        Single::store(SignedFitLanes<Single>(kSignedGroups, x, w, 32.0F, inverse), d);
        Single::store(inverse, inverses);
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
            SmallScales& small = scales[first + lane];
            small.d = ggml::saturatedHalf(d[lane]);
            for (std::size_t g = 0; g < kSignedGroups; ++g) {
                const int code = ggml::nearestInteger(inverses[lane] * x[g * kLanes + lane]);
                small.scale[g] = static_cast<std::int8_t>(inverses[lane] == 0.0F ? -32 : std::clamp(code, -32, 31));
            }
        }
    }
}

// spreadSignedScales() of ggml_k_scalar.cpp, a super-block per lane. `some`: whether there is anything to scale.
template<GgmlBlock block>
HWY_INLINE void SpreadSignedScales(const SignedFound& found, SmallScales* scales, bool* some)
{
    constexpr bool six = block == GgmlBlock::Q6_K;
    constexpr float levels = six ? 128.0F : 32.0F;
    HWY_ALIGN float x[kSignedGroups * kLanes];
    HWY_ALIGN float codes[kSignedGroups * kLanes];  // [lane][group]
    HWY_ALIGN float d[kLanes], magnitudes[kLanes];
    const FloatVector zero = Single::set(0.0F), one = Single::set(1.0F);
    const FloatVector lowest = Single::set(-levels), highest = Single::set(levels - 1.0F);
    for (std::size_t first = 0; first < kChunk; first += kLanes) {
        TransposeIntoLanes(found.scale + first * kSignedGroups, kSignedGroups, kSignedGroups, kLanes, x);
        FloatVector magnitude;
        const FloatVector extreme = ExtremeOfLanes<Single>(kSignedGroups, x, magnitude);
        const auto nothing = six ? Lt(magnitude, Single::set(ggml::kNothing)) : Eq(magnitude, zero);
        const FloatVector inverse = Div(lowest, extreme), none = six ? zero : lowest;
        for (std::size_t i = 0; i < kSignedGroups * kLanes; i += kLanes) {
            // At most `levels`, but where a scale is no number: those super-blocks are left to the reference.
            const FloatVector code = RoundSimply(Mul(inverse, Single::load(x + i)));
            Single::store(IfThenElse(nothing, none, Min(Max(code, lowest), highest)), x + i);
        }
        for (std::size_t g = 0; g < kSignedGroups; g += kLanes)
            TransposeIntoLanes(x + g * kLanes, kLanes, kLanes, kSignedGroups, codes + g);
        Single::store(Div(one, inverse), d);
        Single::store(IfThenZeroElse(nothing, magnitude), magnitudes);
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
            SmallScales& small = scales[first + lane];
            small = {};
            some[first + lane] = magnitudes[lane] > 0.0F;
            if (some[first + lane])
                small.d = ggml::saturatedHalf(d[lane]);
            for (std::size_t g = 0; g < kSignedGroups; ++g)
                small.scale[g] = static_cast<std::int8_t>(codes[lane * kSignedGroups + g]);
        }
    }
}

template<GgmlBlock block, bool important>
HWY_INLINE void SearchedCodes(const SignedFound& found, const float* x, std::size_t group, std::uint8_t* codes)
{
    constexpr int levels = static_cast<int>(kLevels<block>);
    if (block == GgmlBlock::Q3_K && !important) {
        const float* from = found.codes + group / kLanes * kLanes * kSignedLength + group % kLanes;
        for (std::size_t i = 0; i < kSignedLength; ++i)
            codes[i] = static_cast<std::uint8_t>(static_cast<int>(from[i * kLanes]) + levels);
        return;
    }
    const float inverse = found.inverse[group];
    for (std::size_t i = 0; i < kSignedLength; ++i) {
        const int code = std::clamp(ggml::nearestInteger(inverse * x[i]), -levels, levels - 1) + levels;
        codes[i] = static_cast<std::uint8_t>(inverse == 0.0F ? 0 : code);
    }
}

template<GgmlBlock block>
HWY_INLINE void StoreSignedCodes(const std::uint8_t* codes, std::uint8_t* out)
{
    constexpr ggml::BlockLayout layout = ggml::layoutOf(block);
    for (std::size_t half = 0; half < 2; ++half) {
        const std::uint8_t* from = codes + 128 * half;
        if (block == GgmlBlock::Q3_K) {
            PackPairs<0>(from, out + layout.low + 32 * half);
        } else {
            PackNibbles(from, from + 64, out + layout.low + 64 * half);
            PackNibbles(from + 32, from + 96, out + layout.low + 64 * half + 32);
            PackPairs<4>(from, out + layout.high + 32 * half);
        }
    }
    if (block == GgmlBlock::Q3_K)
        PackBits(codes, 4, out + layout.high);
}

template<GgmlBlock block, bool important>
HWY_INLINE void EncodeSignedRows(const KRows& rows)
{
    constexpr int levels = static_cast<int>(kLevels<block>);
    constexpr std::size_t bytes = ggmlBlockSize(block).bytes;
    KChunk chunk;
    SignedFound found;
    SmallScales scales[kChunk];
    bool some[kChunk] = {};
    std::uint8_t codes[kSuperBlock];
    for (std::size_t first = 0; first < rows.blocks; first += kChunk) {
        LoadChunk(rows, first, chunk);
        if (important && block == GgmlBlock::Q3_K)
            SumSquares(2.0F, chunk);
        if (important || block == GgmlBlock::Q6_K)
            SearchSignedGroups<block, important>(chunk, found);
        else
            DescendGroups(chunk, found);
        if (important && block == GgmlBlock::Q3_K)
            FitSignedScales(found, scales);
        else
            SpreadSignedScales<block>(found, scales, some);
        for (std::size_t b = 0; b < chunk.count; ++b) {
            const SmallScales& small = scales[b];
            std::uint8_t* out = rows.out + (first + b) * bytes;
            if (important && HWY_UNLIKELY(!AreFinite(found.scale + b * kSignedGroups, kSignedGroups))) {
                encodeByReference(block, rows, first + b);
                continue;
            }
            if (block == GgmlBlock::Q6_K && !some[b]) {
                std::memset(out, 0, bytes);
                continue;
            }
            const float d = halfToFloat(small.d);
            for (std::size_t g = 0; g < kSignedGroups; ++g) {
                const float* x = chunk.values + b * kSuperBlock + g * kSignedLength;
                const float scale = d * static_cast<float>(small.scale[g]);
                if (HWY_LIKELY(scale != 0.0F))
                    StoreGroupCodes(
                        x, kSignedLength, 0.0F, scale, -levels, levels - 1, levels, codes + g * kSignedLength);
                else
                    SearchedCodes<block, important>(found, x, b * kSignedGroups + g, codes + g * kSignedLength);
            }
            ggml::storeScales(block, small, out);
            StoreSignedCodes<block>(codes, out);
        }
    }
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE::k_quants

namespace quantloupe::kernels::HWY_NAMESPACE {

void EncodeSigned(GgmlBlock block, const KRows& rows)
{
    if (block == GgmlBlock::Q3_K)
        return rows.importance ? k_quants::EncodeSignedRows<GgmlBlock::Q3_K, true>(rows)
                               : k_quants::EncodeSignedRows<GgmlBlock::Q3_K, false>(rows);
    return rows.importance ? k_quants::EncodeSignedRows<GgmlBlock::Q6_K, true>(rows)
                           : k_quants::EncodeSignedRows<GgmlBlock::Q6_K, false>(rows);
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(EncodeSigned);

void encodeSignedK(GgmlBlock block, const KRows& rows)
{
    HWY_DYNAMIC_DISPATCH(EncodeSigned)(block, rows);
}

void ggmlEncodeK(GgmlBlock block, std::span<const float> rows, std::size_t columns, std::span<const float> importance,
    std::span<std::byte> out)
{
    const KRows all {rows.data(), importance.empty() ? nullptr : importance.data(), rows.size() / ggml::kSuperBlock,
        columns / ggml::kSuperBlock, reinterpret_cast<std::uint8_t*>(out.data())};
    ggml::isAffine(block) ? encodeAffineK(block, all) : encodeSignedK(block, all);
}

}  // namespace quantloupe::kernels
#endif  // HWY_ONCE
