// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/code_book_rows.h"

#include <algorithm>

namespace quantloupe {
namespace {

class CodeBookRows final : public RowDecoder
{
public:
    explicit CodeBookRows(CodeBookWeight weight)
        : m_weight(std::move(weight))
    {
    }

    void decodeRows(std::uint64_t firstRow, std::uint64_t rowCount, std::span<float> out) const override
    {
        const LocatedElements codes(m_weight.codes);
        m_weight.order.collectRows(firstRow, rowCount, out, [&](std::uint64_t first, std::size_t count, float* values) {
            decodeRun(codes.data, first, count, values);
        });
    }

    std::string description() const override { return m_weight.description; }
    std::vector<Bytes> storedBytes() const override { return {m_weight.codes.bytes, m_weight.scales.bytes}; }

private:
    void decodeRun(const std::byte* codes, std::uint64_t element, std::size_t count, float* out) const
    {
        const auto end = element + count;
        while (element < end) {
            float scale = 0.0F;
            decodeElements(m_weight.scales.dtype, m_weight.scales.bytes.data(), element / m_weight.block, 1, 1, &scale);
            const auto blockEnd = std::min(end, element + (m_weight.block - element % m_weight.block));
            for (; element < blockEnd; ++element) {
                const auto pair = std::to_integer<unsigned>(codes[element / 2]);
                *out++ = m_weight.levels[element % 2 == 0 ? pair >> 4U : pair & 0xfU] * scale;
            }
        }
    }

    CodeBookWeight m_weight;
};

}  // namespace

std::shared_ptr<const RowDecoder> codeBookRows(CodeBookWeight weight)
{
    return std::make_shared<const CodeBookRows>(std::move(weight));
}

}  // namespace quantloupe
