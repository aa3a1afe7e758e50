// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/ggml_blocks.h"

#include "core/kernels/ggml_families.h"

#include <cassert>

namespace quantloupe::kernels {

namespace {

bool isIq4(GgmlBlock block)
{
    return block == GgmlBlock::Iq4Nl || block == GgmlBlock::Iq4Xs;
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
    assert(rows.empty() || (columns % ggmlBlockSize(block).elements == 0 && rows.size() % columns == 0));
    assert(fits(block, rows.size(), out.size()) && (importance.empty() || importance.size() == columns));
    if (isIq4(block))
        ggml::iq4Encode(block, rows, columns, importance, out);
    else
        ggml::legacyEncode(block, rows, columns, importance, out);
}

void ggmlEncodeReference(GgmlBlock block, std::span<const float> rows, std::size_t columns,
    std::span<const float> importance, std::span<std::byte> out)
{
    if (isIq4(block))
        ggml::iq4EncodeReference(block, rows, columns, importance, out);
    else
        ggml::legacyEncodeReference(block, rows, columns, importance, out);
}

void ggmlDecode(GgmlBlock block, std::span<const std::byte> blocks, std::span<float> out)
{
    assert(fits(block, out.size(), blocks.size()));
    if (isIq4(block))
        ggml::iq4Decode(block, blocks, out);
    else
        ggml::legacyDecode(block, blocks, out);
}

void ggmlDecodeReference(GgmlBlock block, std::span<const std::byte> blocks, std::span<float> out)
{
    if (isIq4(block))
        ggml::iq4DecodeReference(block, blocks, out);
    else
        ggml::legacyDecodeReference(block, blocks, out);
}

void ggmlCodes(GgmlBlock block, std::span<const std::byte> blocks, std::span<std::uint32_t> out)
{
    assert(fits(block, out.size(), blocks.size()));
    if (isIq4(block))
        ggml::iq4Codes(block, blocks, out);
    else
        ggml::legacyCodes(block, blocks, out);
}

}  // namespace quantloupe::kernels
