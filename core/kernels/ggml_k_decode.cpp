// SPDX-License-Identifier: GPL-3.0-or-later
// ggml's k-quants back to floats.
#include "core/kernels/ggml_k_blocks.h"
#include "core/kernels/ggml_k_layout.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/ggml_k_decode.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DecodedLanes = hn::CappedTag<float, 16>;  // a group has 16 weights at least
using CodeLanes = hn::RebindToSigned<DecodedLanes>;

// Bits `shift` and up of one byte per lane.
template<int mask>
HWY_INLINE hn::Vec<CodeLanes> BitsOf(const std::uint8_t* from, std::size_t shift)
{
    const CodeLanes di;
    const hn::Rebind<std::uint8_t, CodeLanes> bytes;
    const auto wide = hn::PromoteTo(di, hn::LoadU(bytes, from));
    return hn::And(hn::ShiftRightSame(wide, static_cast<int>(shift)), hn::Set(di, mask));
}

// Codes of the weights from 32 · run + i on; signed ones count from zero.
template<GgmlBlock block>
HWY_INLINE hn::Vec<CodeLanes> CodesOf(const std::uint8_t* in, std::size_t run, std::size_t i)
{
    const CodeLanes di;
    constexpr ggml::BlockLayout layout = ggml::layoutOf(block);
    const std::uint8_t* low = in + layout.low + i;
    const std::uint8_t* high = in + layout.high + i;
    const std::size_t half = run / 4, quarter = run % 4;
    if constexpr (block == GgmlBlock::Q2_K) {
        return BitsOf<3>(low + 32 * half, 2 * quarter);
    } else if constexpr (block == GgmlBlock::Q3_K) {
        const auto upper = hn::ShiftLeft<2>(BitsOf<1>(high, run));
        return hn::Sub(hn::Or(BitsOf<3>(low + 32 * half, 2 * quarter), upper), hn::Set(di, 4));
    } else if constexpr (block == GgmlBlock::Q4_K) {
        return BitsOf<15>(low + run / 2 * 32, run % 2 * 4);
    } else if constexpr (block == GgmlBlock::Q5_K) {
        return hn::Or(BitsOf<15>(low + run / 2 * 32, run % 2 * 4), hn::ShiftLeft<4>(BitsOf<1>(high, run)));
    } else {
        const auto lower = BitsOf<15>(low + 64 * half + 32 * (quarter % 2), quarter / 2 * 4);
        const auto upper = hn::ShiftLeft<4>(BitsOf<3>(high + 32 * half, 2 * quarter));
        return hn::Sub(hn::Or(lower, upper), hn::Set(di, 32));
    }
}

template<GgmlBlock block>
HWY_INLINE void DecodeRows(const std::uint8_t* in, std::size_t blocks, float* out)
{
    const DecodedLanes d;
    constexpr bool affine = ggml::isAffine(block);
    constexpr std::size_t length = affine ? ggml::affineFormat(block).groupLength : 16;
    for (std::size_t b = 0; b < blocks; ++b, in += ggmlBlockSize(block).bytes, out += ggml::kSuperBlock) {
        const ggml::SmallScales small = ggml::loadScales(block, in);
        float scales[16], minima[16];
        for (std::size_t g = 0; g < ggml::kSuperBlock / length; ++g) {
            scales[g] = halfToFloat(small.d) * static_cast<float>(small.scale[g]);
            minima[g] = halfToFloat(small.dmin) * static_cast<float>(small.minimum[g]);
        }
        for (std::size_t at = 0; at < ggml::kSuperBlock; at += hn::Lanes(d)) {
            const auto code = hn::ConvertTo(d, CodesOf<block>(in, at / 32, at % 32));
            const auto value = hn::Mul(hn::Set(d, scales[at / length]), code);
            hn::StoreU(affine ? hn::Sub(value, hn::Set(d, minima[at / length])) : value, d, out + at);
        }
    }
}

void DecodeK(GgmlBlock block, const std::uint8_t* in, std::size_t blocks, float* out)
{
    switch (block) {
    case GgmlBlock::Q2_K: return DecodeRows<GgmlBlock::Q2_K>(in, blocks, out);
    case GgmlBlock::Q3_K: return DecodeRows<GgmlBlock::Q3_K>(in, blocks, out);
    case GgmlBlock::Q4_K: return DecodeRows<GgmlBlock::Q4_K>(in, blocks, out);
    case GgmlBlock::Q5_K: return DecodeRows<GgmlBlock::Q5_K>(in, blocks, out);
    default: return DecodeRows<GgmlBlock::Q6_K>(in, blocks, out);
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
