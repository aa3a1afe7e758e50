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

#if HWY_TARGET != HWY_SCALAR

using DecodedLanes = hn::CappedTag<float, 16>;  // a group has 16 weights at least
using CodeLanes = hn::RebindToSigned<DecodedLanes>;
using CodeBytes = hn::Repartition<std::uint8_t, DecodedLanes>;  // the same sixteen codes in each sixteen bytes
constexpr std::size_t kDecodedLanes = hn::MaxLanes(DecodedLanes());
constexpr std::size_t kParts = 16 / kDecodedLanes;  // vectors of weights from sixteen codes

// Where the byte of each lane is among sixteen; its three others become zero.
struct Widening {
    HWY_ALIGN std::uint8_t places[kParts][4 * kDecodedLanes];

    constexpr Widening()
        : places()
    {
        for (std::size_t part = 0; part < kParts; ++part)
            for (std::size_t i = 0; i < 4 * kDecodedLanes; ++i)
                places[part][i] =
                    i % 4 == 0 ? static_cast<std::uint8_t>(part * kDecodedLanes + i / 4) : std::uint8_t {0x80};
    }
};
HWY_ALIGN constexpr Widening kWidening;

// Bits `from` and up, as many as `mask` has from `to` on, carried there.
template<std::size_t from, std::size_t to, std::uint8_t mask>
HWY_INLINE hn::Vec<CodeBytes> Carry(hn::Vec<CodeBytes> bytes)
{
    const CodeBytes d;
    const hn::Repartition<std::uint16_t, CodeBytes> pairs;  // there is no shift of bytes
    const auto wide = hn::BitCast(pairs, bytes);
    constexpr int distance = static_cast<int>(from) - static_cast<int>(to);
    const auto moved = [wide]() HWY_ATTR {
        if constexpr (distance > 0)
            return hn::ShiftRight<distance>(wide);
        else
            return hn::ShiftLeft<-distance>(wide);
    }();
    return hn::And(hn::BitCast(d, moved), hn::Set(d, mask));
}

// Codes of the sixteen weights from 32 · run + i on; of Q3_K and Q6_K counted from the lowest.
template<GgmlBlock block, std::size_t run>
HWY_INLINE hn::Vec<CodeBytes> CodesOf(const std::uint8_t* in, std::size_t i)
{
    const CodeBytes d;
    constexpr ggml::BlockLayout layout = ggml::layoutOf(block);
    constexpr std::size_t half = run / 4, quarter = run % 4;
    const std::uint8_t* low = in + layout.low + i;
    const std::uint8_t* high = in + layout.high + i;
    const auto load = [d](const std::uint8_t* from) HWY_ATTR { return hn::LoadDup128(d, from); };
    if constexpr (block == GgmlBlock::Q2_K) {
        return Carry<2 * quarter, 0, 3>(load(low + 32 * half));
    } else if constexpr (block == GgmlBlock::Q3_K) {
        return hn::Or(Carry<2 * quarter, 0, 3>(load(low + 32 * half)), Carry<run, 2, 4>(load(high)));
    } else if constexpr (block == GgmlBlock::Q4_K) {
        return Carry<run % 2 * 4, 0, 15>(load(low + run / 2 * 32));
    } else if constexpr (block == GgmlBlock::Q5_K) {
        return hn::Or(Carry<run % 2 * 4, 0, 15>(load(low + run / 2 * 32)), Carry<run, 4, 16>(load(high)));
    } else {
        const auto lower = Carry<quarter / 2 * 4, 0, 15>(load(low + 64 * half + 32 * (quarter % 2)));
        return hn::Or(lower, Carry<2 * quarter, 4, 48>(load(high + 32 * half)));
    }
}

constexpr int lowestCode(GgmlBlock block)
{
    return block == GgmlBlock::Q3_K ? -4 : block == GgmlBlock::Q6_K ? -32 : 0;
}

// 32 weights, of one group or of two.
template<GgmlBlock block, std::size_t run>
HWY_INLINE void DecodeRun(
    const std::uint8_t* HWY_RESTRICT in, const float* scales, const float* minima, float* HWY_RESTRICT out)
{
    const DecodedLanes d;
    const CodeLanes di;
    const CodeBytes bytes;
    constexpr bool affine = ggml::isAffine(block);
    constexpr std::size_t length = affine ? ggml::affineFormat(block).groupLength : 16;
    for (std::size_t i = 0; i < 32; i += 16) {
        const std::size_t group = (32 * run + i) / length;
        const auto scale = hn::Set(d, scales[group]);
        const auto codes = CodesOf<block, run>(in, i);
        for (std::size_t part = 0; part < kParts; ++part) {
            auto code = hn::BitCast(di, hn::TableLookupBytesOr0(codes, hn::Load(bytes, kWidening.places[part])));
            if constexpr (lowestCode(block) != 0)
                code = hn::Add(code, hn::Set(di, lowestCode(block)));
            auto value = hn::Mul(scale, hn::ConvertTo(d, code));
            if constexpr (affine)
                value = hn::Sub(value, hn::Set(d, minima[group]));
            hn::StoreU(value, d, out + 32 * run + i + part * kDecodedLanes);
        }
    }
}

template<GgmlBlock block, std::size_t... runs>
HWY_INLINE void DecodeBlock(const std::uint8_t* HWY_RESTRICT in, const float* scales, const float* minima,
    float* HWY_RESTRICT out, std::index_sequence<runs...>)
{
    (DecodeRun<block, runs>(in, scales, minima, out), ...);
}

// `factor` times eight bytes.
HWY_INLINE void ScaleEight(float factor, std::uint64_t eight, float* out)
{
    const hn::CappedTag<float, 8> d;
    const hn::RebindToSigned<decltype(d)> di;
    const hn::Rebind<std::uint8_t, decltype(d)> narrow;
    std::uint8_t bytes[8];
    std::memcpy(bytes, &eight, sizeof bytes);
    for (std::size_t i = 0; i < 8; i += hn::Lanes(d)) {
        const auto whole = hn::ConvertTo(d, hn::PromoteTo(di, hn::LoadU(narrow, bytes + i)));
        hn::StoreU(hn::Mul(hn::Set(d, factor), whole), d, out + i);
    }
}

template<GgmlBlock block>
HWY_INLINE void WidenScales(const std::uint8_t* HWY_RESTRICT in, float* scales, float* minima)
{
    constexpr ggml::BlockLayout layout = ggml::layoutOf(block);
    const float d = halfToFloat(ggml::loadHalf(in + layout.d));
    if constexpr (block == GgmlBlock::Q4_K || block == GgmlBlock::Q5_K) {
        const auto six = ggml::sixBitScales(in + layout.scales);
        ScaleEight(d, six.scales, scales);
        ScaleEight(halfToFloat(ggml::loadHalf(in + layout.dmin)), six.minima, minima);
    } else {
        const ggml::SmallScales small = ggml::loadScales(block, in);
        const float dmin = halfToFloat(small.dmin);
        for (std::size_t g = 0; g < 16; ++g) {
            scales[g] = d * static_cast<float>(small.scale[g]);
            minima[g] = dmin * static_cast<float>(small.minimum[g]);
        }
    }
}

template<GgmlBlock block>
HWY_INLINE void DecodeRows(const std::uint8_t* HWY_RESTRICT in, std::size_t blocks, float* HWY_RESTRICT out)
{
    float scales[16], minima[16];
    for (std::size_t b = 0; b < blocks; ++b, in += ggmlBlockSize(block).bytes, out += ggml::kSuperBlock) {
        WidenScales<block>(in, scales, minima);
        DecodeBlock<block>(in, scales, minima, out, std::make_index_sequence<8>());
    }
}

#else

template<GgmlBlock block>
HWY_INLINE void DecodeRows(const std::uint8_t* in, std::size_t blocks, float* out)
{
    ggmlDecodeKReference(block, {reinterpret_cast<const std::byte*>(in), blocks * ggmlBlockSize(block).bytes},
        {out, blocks * ggml::kSuperBlock});
}

#endif

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
