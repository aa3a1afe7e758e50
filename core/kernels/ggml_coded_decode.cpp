// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/ggml_coded_blocks.h"
#include "core/kernels/ggml_families.h"
#include "core/kernels/ggml_layouts.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/ggml_coded_decode.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::ggml::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void DecodeCoded(const CodedFormat& format, const std::byte* blocks, std::size_t bytes, std::size_t elements,
    std::size_t blockCount, float* out)
{
    const hn::CappedTag<float, 16> d;  // no run is shorter
    const hn::RebindToSigned<decltype(d)> di;
    const hn::Rebind<std::int8_t, decltype(d)> narrow;
    CodedBlock block;
    for (std::size_t b = 0; b < blockCount; ++b, blocks += bytes, out += elements) {
        format.unpack(blocks, block);
        for (std::size_t run = 0; run * format.runLength < elements; ++run) {
            const auto scale = hn::Set(d, block.scales[run]);
            const std::size_t end = (run + 1) * format.runLength;
            for (std::size_t i = run * format.runLength; i < end; i += hn::Lanes(d)) {
                const auto codes = hn::PromoteTo(di, hn::LoadU(narrow, block.codes + i));
                hn::StoreU(hn::Mul(scale, hn::ConvertTo(d, codes)), d, out + i);
            }
        }
    }
}

// The first digits of numbers to the base of three, each times the scale. A byte is the fraction of 256 that its number
// is of 3⁵: times three, the digit stands above it, and below it what is left. Digits of one place lie together.
template<class D>
HWY_INLINE void DecodeDigits(D d, const std::uint8_t* HWY_RESTRICT bytes, std::size_t count, std::size_t digits,
    float scale, float* HWY_RESTRICT out)
{
    const hn::RebindToSigned<D> di;
    const hn::Rebind<std::uint8_t, D> narrow;
    const auto factor = hn::Set(d, scale);
    for (std::size_t i = 0; i < count; i += hn::Lanes(d)) {
        auto rest = hn::PromoteTo(di, hn::LoadU(narrow, bytes + i));
        for (std::size_t digit = 0; digit < digits; ++digit) {
            const auto tripled = hn::Add(rest, hn::Add(rest, rest));
            const auto code = hn::Sub(hn::ShiftRight<8>(tripled), hn::Set(di, 1));
            hn::StoreU(hn::Mul(factor, hn::ConvertTo(d, code)), d, out + digit * count + i);
            rest = hn::And(tripled, hn::Set(di, 0xff));
        }
    }
}

// Tq1_0: 32 bytes and 16 of five digits, four bytes of four, the scale.
void DecodeTernary(const std::byte* blocks, std::size_t blockCount, float* out)
{
    constexpr GgmlBlockSize size = ggmlBlockSize(GgmlBlock::Tq1_0);
    for (std::size_t b = 0; b < blockCount; ++b, blocks += size.bytes, out += size.elements) {
        const auto* bytes = reinterpret_cast<const std::uint8_t*>(blocks);
        const float scale = halfToFloat(loadHalf(blocks + 52));
        DecodeDigits(hn::CappedTag<float, 16>(), bytes, 32, 5, scale, out);
        DecodeDigits(hn::CappedTag<float, 16>(), bytes + 32, 16, 5, scale, out + 160);
        DecodeDigits(hn::CappedTag<float, 4>(), bytes + 48, 4, 4, scale, out + 240);
    }
}

}  // namespace quantloupe::kernels::ggml::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels::ggml {

HWY_EXPORT(DecodeCoded);
HWY_EXPORT(DecodeTernary);

void codedDecode(GgmlBlock block, std::span<const std::byte> blocks, std::span<float> out)
{
    const auto [elements, bytes] = ggmlBlockSize(block);
    if (block == GgmlBlock::Tq1_0)
        return HWY_DYNAMIC_DISPATCH(DecodeTernary)(blocks.data(), out.size() / elements, out.data());
    HWY_DYNAMIC_DISPATCH(DecodeCoded)
    (codedFormat(block), blocks.data(), bytes, elements, out.size() / elements, out.data());
}

void codedDecodeReference(GgmlBlock block, std::span<const std::byte> blocks, std::span<float> out)
{
    const auto [elements, bytes] = ggmlBlockSize(block);
    const auto format = codedFormat(block);
    CodedBlock unpacked;
    for (std::size_t i = 0; i < out.size(); ++i) {
        if (i % elements == 0)
            format.unpack(blocks.data() + i / elements * bytes, unpacked);
        const std::size_t own = i % elements;
        out[i] = unpacked.scales[own / format.runLength] * static_cast<float>(unpacked.codes[own]);
    }
}

}  // namespace quantloupe::kernels::ggml
#endif
