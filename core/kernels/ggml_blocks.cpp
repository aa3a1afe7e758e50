// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/ggml_blocks.h"

#include "core/kernels/ggml_families.h"
#include "core/kernels/ggml_k_blocks.h"

#include <cassert>

namespace quantloupe::kernels {

namespace {

/// What serves one family of blocks.
struct Family {
    decltype(&ggmlEncode) encode, encodeReference;
    decltype(&ggmlDecode) decode, decodeReference;
    decltype(&ggmlCodes) codes;
};

constexpr Family legacy {ggml::legacyEncode, ggml::legacyEncodeReference, ggml::legacyDecode,
    ggml::legacyDecodeReference, ggml::legacyCodes};
constexpr Family iq4 {
    ggml::iq4Encode, ggml::iq4EncodeReference, ggml::iq4Decode, ggml::iq4DecodeReference, ggml::iq4Codes};
constexpr Family coded {nullptr, nullptr, ggml::codedDecode, ggml::codedDecodeReference, nullptr};
constexpr Family k {ggmlEncodeK, ggmlEncodeKReference, ggmlDecodeK, ggmlDecodeKReference, ggmlCodesK};

const Family& familyOf(GgmlBlock block)
{
    if (!ggmlWrites(block))
        return coded;
    if (isKBlock(block))
        return k;
    return block == GgmlBlock::Iq4Nl || block == GgmlBlock::Iq4Xs ? iq4 : legacy;
}

[[maybe_unused]] bool fits(GgmlBlock block, std::size_t elements, std::size_t bytes)
{
    const GgmlBlockSize size = ggmlBlockSize(block);
    return elements % size.elements == 0 && elements / size.elements * size.bytes == bytes;
}

}  // namespace

void ggmlEncode(GgmlBlock block, std::span<const float> rows, std::size_t columns, std::span<const float> importance,
    std::span<std::byte> out)
{
    assert(ggmlWrites(block));
    assert(rows.empty() || (columns % ggmlBlockSize(block).elements == 0 && rows.size() % columns == 0));
    assert(fits(block, rows.size(), out.size()) && (importance.empty() || importance.size() == columns));
    familyOf(block).encode(block, rows, columns, importance, out);
}

void ggmlEncodeReference(GgmlBlock block, std::span<const float> rows, std::size_t columns,
    std::span<const float> importance, std::span<std::byte> out)
{
    familyOf(block).encodeReference(block, rows, columns, importance, out);
}

void ggmlDecode(GgmlBlock block, std::span<const std::byte> blocks, std::span<float> out)
{
    assert(fits(block, out.size(), blocks.size()));
    familyOf(block).decode(block, blocks, out);
}

void ggmlDecodeReference(GgmlBlock block, std::span<const std::byte> blocks, std::span<float> out)
{
    familyOf(block).decodeReference(block, blocks, out);
}

void ggmlCodes(GgmlBlock block, std::span<const std::byte> blocks, std::span<std::uint32_t> out)
{
    assert(ggmlWrites(block) && fits(block, out.size(), blocks.size()));
    familyOf(block).codes(block, blocks, out);
}

}  // namespace quantloupe::kernels
