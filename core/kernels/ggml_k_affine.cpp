// SPDX-License-Identifier: GPL-3.0-or-later
// Q2_K, Q4_K, Q5_K: codes from a minimum up.
#include "core/kernels/ggml_k_rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/ggml_k_affine.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>

#include "core/kernels/ggml_k_chunk_inl.h"
#include "core/kernels/ggml_k_affine_fits_inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE::k_quants {

// What the searches found, by group.
template<std::size_t groups>
struct AffineFound {
    HWY_ALIGN float scale[kChunk * groups] = {};
    HWY_ALIGN float depth[kChunk * groups] = {};
    HWY_ALIGN float inverse[kChunk * groups] = {};
    HWY_ALIGN float start[kChunk * groups] = {};
    HWY_ALIGN float sumOfWeights[kChunk * groups] = {};
};

// √mean x² + |x|, or |x| alone.
template<bool level>
HWY_INLINE void WeighPlainly(std::size_t length, const float* x, float* w)
{
    auto sum = Double::set(0.0F);
    for (std::size_t i = 0; level && i < length * Double::lanes; i += Double::lanes)
        sum = Add(sum, Mul(Double::load(x + i), Double::load(x + i)));
    const auto base = Sqrt(Div(sum, Double::set(static_cast<float>(length))));
    for (std::size_t i = 0; i < length * Double::lanes; i += Double::lanes)
        Double::store(Add(base, Abs(Double::load(x + i))), w + i);
}

template<GgmlBlock block, bool important>
HWY_INLINE void SearchGroups(
    const KChunk& chunk, AffineFound<kSuperBlock / ggml::affineFormat(block).groupLength>& found)
{
    constexpr ggml::AffineFormat format = ggml::affineFormat(block);
    constexpr std::size_t length = format.groupLength;
    AffineTask<Double> tasks[2];
    for (std::size_t first = 0; first < chunk.count * (kSuperBlock / length); first += 2 * Double::lanes) {
        for (std::size_t t = 0; t < 2; ++t) {
            AffineTask<Double>& task = tasks[t];
            const std::size_t from = first + t * Double::lanes;
            LoadGroups<Double>(chunk.values, from, length, task.x);
            if (important) {
                LoadGroups<Double>(chunk.importance, from, length, task.w);
                WeighByImportance<Double>(chunk, from, length, task.x, task.w);
            } else {
                WeighPlainly<!format.plain.absolute>(length, task.x, task.w);
            }
        }
        FitAffine<Double, !important && format.plain.absolute>(tasks[0], tasks[1], length,
            static_cast<float>(format.highestCode), important ? ggml::AffineSearch {} : format.plain);
        for (std::size_t t = 0; t < 2; ++t) {
            const AffineTask<Double>& task = tasks[t];
            const std::size_t to = first + t * Double::lanes;
            Double::store(Double::load(task.scale), found.scale + to);
            Double::store(Sub(Double::set(0.0F), Double::load(task.minimum)), found.depth + to);
            Double::store(Double::load(task.bestInverse), found.inverse + to);
            Double::store(Double::load(task.start), found.start + to);
            Double::store(Double::load(task.sumW), found.sumOfWeights + to);
        }
    }
}

// Scales and minima of all super-blocks by importance: a super-block per lane, scales beside minima.
template<std::size_t groups>
HWY_INLINE void FitScales(const AffineFound<groups>& found, int highest, SmallScales* scales)
{
    HWY_ALIGN float x[groups * Double::lanes];
    HWY_ALIGN float w[groups * Double::lanes];
    HWY_ALIGN float codes[groups * Double::lanes];
    HWY_ALIGN float d[Double::lanes];
    for (std::size_t first = 0; first < kChunk; first += kLanes) {
        TransposeIntoLanes(found.scale + first * groups, groups, groups, Double::lanes, x);
        TransposeIntoLanes(found.depth + first * groups, groups, groups, Double::lanes, x + kLanes);
        TransposeIntoLanes(found.sumOfWeights + first * groups, groups, groups, Double::lanes, w);
        TransposeIntoLanes(found.sumOfWeights + first * groups, groups, groups, Double::lanes, w + kLanes);
        Double::store(PositiveFitLanes<Double>(groups, x, w, static_cast<float>(highest), codes), d);
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
            SmallScales& small = scales[first + lane];
            small.d = ggml::saturatedHalf(d[lane]);
            small.dmin = ggml::saturatedHalf(d[kLanes + lane]);
            for (std::size_t g = 0; g < groups; ++g) {
                small.scale[g] = static_cast<std::int8_t>(static_cast<int>(codes[g * Double::lanes + lane]));
                small.minimum[g] = static_cast<std::uint8_t>(codes[g * Double::lanes + kLanes + lane]);
            }
        }
    }
}

template<GgmlBlock block>
HWY_INLINE void StoreAffineCodes(const std::uint8_t* codes, std::uint8_t* out)
{
    constexpr ggml::BlockLayout layout = ggml::layoutOf(block);
    if (block == GgmlBlock::Q2_K) {
        for (std::size_t half = 0; half < 2; ++half)
            PackPairs<0>(codes + 128 * half, out + layout.low + 32 * half);
        return;
    }
    for (std::size_t pair = 0; pair < 4; ++pair)
        PackNibbles(codes + 64 * pair, codes + 64 * pair + 32, out + layout.low + 32 * pair);
    if (block == GgmlBlock::Q5_K)
        PackBits(codes, 16, out + layout.high);
}

template<GgmlBlock block, bool important>
HWY_INLINE void EncodeAffineRows(const KRows& rows)
{
    constexpr ggml::AffineFormat format = ggml::affineFormat(block);
    constexpr std::size_t length = format.groupLength, groups = kSuperBlock / length;
    constexpr std::size_t bytes = ggmlBlockSize(block).bytes;
    KChunk chunk;
    AffineFound<groups> found;
    SmallScales scales[kChunk];
    std::uint8_t codes[kSuperBlock];
    for (std::size_t first = 0; first < rows.blocks; first += kChunk) {
        LoadChunk(rows, first, chunk);
        if (important)
            SumSquares(block == GgmlBlock::Q2_K ? 1.0F : 2.0F, chunk);
        SearchGroups<block, important>(chunk, found);
        if (important)
            FitScales(found, format.highestScale, scales);
        for (std::size_t b = 0; b < chunk.count; ++b) {
            SmallScales& small = scales[b];
            if (important
                && HWY_UNLIKELY(
                    !AreFinite(found.scale + b * groups, groups) || !AreFinite(found.depth + b * groups, groups))) {
                encodeByReference(block, rows, first + b);
                continue;
            }
            if (!important) {
                small.d =
                    ggml::spreadScales(std::span(found.scale + b * groups, groups), format.highestScale, small.scale);
                small.dmin =
                    ggml::spreadScales(std::span(found.depth + b * groups, groups), format.highestScale, small.minimum);
            }
            const float d = halfToFloat(small.d), dmin = halfToFloat(small.dmin);
            for (std::size_t g = 0; g < groups; ++g) {
                const float* x = chunk.values + b * kSuperBlock + g * length;
                std::uint8_t* code = codes + g * length;
                const float scale = d * static_cast<float>(small.scale[g]);
                if (HWY_LIKELY(scale != 0.0F)) {
                    StoreGroupCodes(
                        x, length, dmin * static_cast<float>(small.minimum[g]), scale, 0, format.highestCode, 0, code);
                    continue;
                }
                // Those of the search.
                const float inverse = found.inverse[b * groups + g], start = found.start[b * groups + g];
                for (std::size_t i = 0; i < length; ++i)
                    code[i] = static_cast<std::uint8_t>(
                        std::clamp(ggml::nearestInteger(inverse * (x[i] - start)), 0, format.highestCode));
            }
            std::uint8_t* out = rows.out + (first + b) * bytes;
            ggml::storeScales(block, small, out);
            StoreAffineCodes<block>(codes, out);
        }
    }
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE::k_quants

namespace quantloupe::kernels::HWY_NAMESPACE {

void EncodeAffine(GgmlBlock block, const KRows& rows)
{
    switch (block) {
    case GgmlBlock::Q2_K:
        return rows.importance ? k_quants::EncodeAffineRows<GgmlBlock::Q2_K, true>(rows)
                               : k_quants::EncodeAffineRows<GgmlBlock::Q2_K, false>(rows);
    case GgmlBlock::Q4_K:
        return rows.importance ? k_quants::EncodeAffineRows<GgmlBlock::Q4_K, true>(rows)
                               : k_quants::EncodeAffineRows<GgmlBlock::Q4_K, false>(rows);
    default:
        return rows.importance ? k_quants::EncodeAffineRows<GgmlBlock::Q5_K, true>(rows)
                               : k_quants::EncodeAffineRows<GgmlBlock::Q5_K, false>(rows);
    }
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(EncodeAffine);

void encodeAffineK(GgmlBlock block, const KRows& rows)
{
    HWY_DYNAMIC_DISPATCH(EncodeAffine)(block, rows);
}

}  // namespace quantloupe::kernels
#endif  // HWY_ONCE
