// SPDX-License-Identifier: GPL-3.0-or-later
// ggml's k-quants back to floats.
#include "core/kernels/ggml_k_blocks.h"
#include "core/kernels/ggml_k_layout.h"

#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/ggml_k_decode.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE::k_quants {
namespace hn = hwy::HWY_NAMESPACE;

using DecodedLanes = hn::CappedTag<float, 16>;  // a group has 16 weights at least
using CodeLanes = hn::RebindToSigned<DecodedLanes>;

// Bits `shift` and up of one byte per lane.
template<std::size_t shift, int mask>
HWY_INLINE hn::Vec<CodeLanes> BitsOf(const std::uint8_t* from)
{
    const CodeLanes di;
    const hn::Rebind<std::uint8_t, CodeLanes> bytes;
    const auto shifted = hn::ShiftRight<static_cast<int>(shift)>(hn::PromoteTo(di, hn::LoadU(bytes, from)));
    return (mask << shift) > 127 ? shifted : hn::And(shifted, hn::Set(di, mask));  // nothing above a byte's last bit
}

// Codes of the weights from 32 · run + i on; signed ones count from zero.
template<GgmlBlock block, std::size_t run>
HWY_INLINE hn::Vec<CodeLanes> CodesOf(const std::uint8_t* in, std::size_t i)
{
    const CodeLanes di;
    constexpr ggml::BlockLayout layout = ggml::layoutOf(block);
    constexpr std::size_t half = run / 4, quarter = run % 4;
    const std::uint8_t* low = in + layout.low + i;
    const std::uint8_t* high = in + layout.high + i;
    if constexpr (block == GgmlBlock::Q2_K) {
        return BitsOf<2 * quarter, 3>(low + 32 * half);
    } else if constexpr (block == GgmlBlock::Q3_K) {
        const auto upper = hn::ShiftLeft<2>(BitsOf<run, 1>(high));
        return hn::Sub(hn::Or(BitsOf<2 * quarter, 3>(low + 32 * half), upper), hn::Set(di, 4));
    } else if constexpr (block == GgmlBlock::Q4_K) {
        return BitsOf<run % 2 * 4, 15>(low + run / 2 * 32);
    } else if constexpr (block == GgmlBlock::Q5_K) {
        return hn::Or(BitsOf<run % 2 * 4, 15>(low + run / 2 * 32), hn::ShiftLeft<4>(BitsOf<run, 1>(high)));
    } else {
        const auto lower = BitsOf<quarter / 2 * 4, 15>(low + 64 * half + 32 * (quarter % 2));
        const auto upper = hn::ShiftLeft<4>(BitsOf<2 * quarter, 3>(high + 32 * half));
        return hn::Sub(hn::Or(lower, upper), hn::Set(di, 32));
    }
}

// 32 weights, of one group or of two.
template<GgmlBlock block, std::size_t run>
HWY_INLINE void DecodeRun(
    const std::uint8_t* HWY_RESTRICT in, const float* scales, const float* minima, float* HWY_RESTRICT out)
{
    const DecodedLanes d;
    constexpr bool affine = ggml::isAffine(block);
    constexpr std::size_t length = affine ? ggml::affineFormat(block).groupLength : 16;
    for (std::size_t start = 0; start < 32; start += length) {
        const std::size_t group = (32 * run + start) / length;
        const auto scale = hn::Set(d, scales[group]), minimum = hn::Set(d, minima[group]);
        for (std::size_t i = start; i < start + length; i += hn::Lanes(d)) {
            const auto value = hn::Mul(scale, hn::ConvertTo(d, CodesOf<block, run>(in, i)));
            hn::StoreU(affine ? hn::Sub(value, minimum) : value, d, out + 32 * run + i);
        }
    }
}

template<GgmlBlock block, std::size_t... runs>
HWY_INLINE void DecodeBlock(const std::uint8_t* HWY_RESTRICT in, const float* scales, const float* minima,
    float* HWY_RESTRICT out, std::index_sequence<runs...>)
{
    (DecodeRun<block, runs>(in, scales, minima, out), ...);
}

template<GgmlBlock block>
HWY_INLINE void DecodeRows(const std::uint8_t* HWY_RESTRICT in, std::size_t blocks, float* HWY_RESTRICT out)
{
    for (std::size_t b = 0; b < blocks; ++b, in += ggmlBlockSize(block).bytes, out += ggml::kSuperBlock) {
        const ggml::SmallScales small = ggml::loadScales(block, in);
        const float d = halfToFloat(small.d), dmin = halfToFloat(small.dmin);
        constexpr std::size_t groups = ggml::isAffine(block) ? 256 / ggml::affineFormat(block).groupLength : 16;
        float scales[16], minima[16];
        for (std::size_t g = 0; g < groups; ++g) {
            scales[g] = d * static_cast<float>(small.scale[g]);
            minima[g] = dmin * static_cast<float>(small.minimum[g]);
        }
        DecodeBlock<block>(in, scales, minima, out, std::make_index_sequence<8>());
    }
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE::k_quants

namespace quantloupe::kernels::HWY_NAMESPACE {

void DecodeK(GgmlBlock block, const std::uint8_t* in, std::size_t blocks, float* out)
{
    switch (block) {
    case GgmlBlock::Q2_K: return k_quants::DecodeRows<GgmlBlock::Q2_K>(in, blocks, out);
    case GgmlBlock::Q3_K: return k_quants::DecodeRows<GgmlBlock::Q3_K>(in, blocks, out);
    case GgmlBlock::Q4_K: return k_quants::DecodeRows<GgmlBlock::Q4_K>(in, blocks, out);
    case GgmlBlock::Q5_K: return k_quants::DecodeRows<GgmlBlock::Q5_K>(in, blocks, out);
    default: return k_quants::DecodeRows<GgmlBlock::Q6_K>(in, blocks, out);
    }
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(DecodeK);

void ggmlDecodeK(GgmlBlock block, std::span<const std::byte> blocks, std::span<float> out)
{
    HWY_DYNAMIC_DISPATCH(DecodeK)
    (block, reinterpret_cast<const std::uint8_t*>(blocks.data()), blocks.size() / ggmlBlockSize(block).bytes,
        out.data());
}

}  // namespace quantloupe::kernels
#endif  // HWY_ONCE
