// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/ggml_coded_blocks.h"
#include "core/kernels/ggml_families.h"

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

}  // namespace quantloupe::kernels::ggml::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels::ggml {

HWY_EXPORT(DecodeCoded);

void codedDecode(GgmlBlock block, std::span<const std::byte> blocks, std::span<float> out)
{
    const auto [elements, bytes] = ggmlBlockSize(block);
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
