// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/packed_layouts/packed_decoder.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace quantloupe {
namespace {

class GroupedDecoder final : public PackedDecoder
{
public:
    GroupedDecoder(std::vector<TensorView> parts, std::string description, GroupedWeights weights)
        : PackedDecoder(std::move(parts), std::move(description))
        , m_weights(std::move(weights))
    {
    }

    void decodeRows(std::uint64_t firstRow, std::uint64_t rowCount, std::span<float> out) const override
    {
        m_weights.codes(firstRow, rowCount, out);
        const auto columns = static_cast<std::size_t>(m_weights.matrix.columns);
        const auto groups = static_cast<std::size_t>(m_weights.groups);
        std::vector<float> scales(groups), zeros(groups), biases(groups);
        for (std::uint64_t row = 0; row < rowCount; ++row) {
            m_weights.scales(firstRow + row, scales);
            if (m_weights.zeros)
                m_weights.zeros(firstRow + row, zeros);
            if (m_weights.biases)
                m_weights.biases(firstRow + row, biases);
            const auto codes = out.subspan(static_cast<std::size_t>(row) * columns, columns);
            if (!m_weights.groupOfColumn.empty())
                scaleColumns(codes, scales, zeros);
            else if (m_weights.biases)
                shiftRuns(codes, scales, biases);
            else
                scaleRuns(codes, scales, zeros);
        }
    }

private:
    void scaleRuns(std::span<float> codes, std::span<const float> scales, std::span<const float> zeros) const
    {
        const auto length = static_cast<std::size_t>(m_weights.groupLength);
        for (std::size_t group = 0, first = 0; first < codes.size(); ++group, first += length) {
            const float scale = scales[group], zero = zeros[group];
            for (float& code : codes.subspan(first, std::min(length, codes.size() - first)))
                code = (code - zero) * scale;
        }
    }

    void shiftRuns(std::span<float> codes, std::span<const float> scales, std::span<const float> biases) const
    {
        const auto length = static_cast<std::size_t>(m_weights.groupLength);
        for (std::size_t group = 0, first = 0; first < codes.size(); ++group, first += length) {
            const float scale = scales[group], bias = biases[group];
            for (float& code : codes.subspan(first, std::min(length, codes.size() - first)))
                code = code * scale + bias;
        }
    }

    void scaleColumns(std::span<float> codes, std::span<const float> scales, std::span<const float> zeros) const
    {
        for (std::size_t column = 0; column < codes.size(); ++column) {
            const auto group = m_weights.groupOfColumn[column];
            codes[column] = (codes[column] - zeros[group]) * scales[group];
        }
    }

    GroupedWeights m_weights;
};

/// `count` codes of a bit stream, the first in the lowest bits of the first byte.
void unpackStream(const std::byte* bytes, unsigned bits, std::size_t count, float* out)
{
    std::uint64_t waiting = 0;
    unsigned held = 0;
    const std::uint64_t mask = (std::uint64_t {1} << bits) - 1U;
    for (std::size_t i = 0; i < count; ++i) {
        for (; held < bits; held += 8)
            waiting |= std::to_integer<std::uint64_t>(*bytes++) << held;
        out[i] = static_cast<float>(static_cast<std::uint32_t>(waiting & mask));
        waiting >>= bits;
        held -= bits;
    }
}

/// Codes of one word, the first in its lowest bits, `stride` floats apart.
void spreadWord(std::uint32_t word, unsigned bits, std::size_t count, float* out)
{
    const std::uint32_t mask = bits == 32 ? ~0U : (1U << bits) - 1U;
    for (std::size_t i = 0; i < count; ++i, word >>= bits)
        out[i] = static_cast<float>(word & mask);
}

}  // namespace

void PackedDecoder::release() const
{
    for (const auto& part : m_parts)
        releaseBytes(part);
}

std::vector<Bytes> PackedDecoder::storedBytes() const
{
    std::vector<Bytes> bytes;
    for (const auto& part : m_parts)
        bytes.push_back(part.bytes);
    return bytes;
}

std::shared_ptr<const RowDecoder> makeGroupedDecoder(
    std::vector<TensorView> parts, std::string description, GroupedWeights weights)
{
    return std::make_shared<GroupedDecoder>(std::move(parts), std::move(description), std::move(weights));
}

std::uint32_t wordAt(const std::byte* words, std::uint64_t i)
{
    std::uint32_t word = 0;
    std::memcpy(&word, words + 4 * i, sizeof word);
    return word;
}

RowCodes plainCodes(const TensorView& codes)
{
    return [dtype = codes.dtype, data = codes.bytes.data()](
               std::uint64_t firstRow, std::uint64_t rowCount, std::span<float> out) {
        if (rowCount > 0)
            decodeElements(dtype, data, firstRow * (out.size() / rowCount), 1, out.size(), out.data());
    };
}

RowCodes streamCodes(const TensorView& codes, unsigned bits, std::uint64_t columns)
{
    return [data = codes.bytes.data(), bits, columns](
               std::uint64_t firstRow, std::uint64_t rowCount, std::span<float> out) {
        for (std::uint64_t row = 0; row < rowCount; ++row)
            unpackStream(data + (firstRow + row) * (columns * bits / 8), bits, columns, out.data() + row * columns);
    };
}

RowCodes wordCodes(const TensorView& codes, unsigned bits, std::uint64_t columns)
{
    return [data = codes.bytes.data(), bits, columns](
               std::uint64_t firstRow, std::uint64_t rowCount, std::span<float> out) {
        const std::uint64_t perWord = 32 / bits;
        const auto words = ceilDivide(columns, perWord);
        for (std::uint64_t row = 0; row < rowCount; ++row)
            for (std::uint64_t word = 0; word < words; ++word) {
                const auto column = word * perWord;
                spreadWord(wordAt(data, (firstRow + row) * words + word), bits, std::min(perWord, columns - column),
                    out.data() + row * columns + column);
            }
    };
}

RowCodes columnCodes(const TensorView& codes, unsigned bits, std::uint64_t columns)
{
    // One word where it holds whole codes, else three: 32 codes of 3 bits. A run of words that lie together is of as
    // many rows.
    const std::uint64_t wordsAtOnce = bits == 3 ? 3 : 1, codesAtOnce = bits == 3 ? 32 : 32 / bits;
    return [data = codes.bytes.data(), stride = codes.shape.back(), bits, columns, wordsAtOnce, codesAtOnce](
               std::uint64_t firstRow, std::uint64_t rowCount, std::span<float> out) {
        for (std::uint64_t column = 0, word = 0; column < columns; column += codesAtOnce, word += wordsAtOnce)
            for (std::uint64_t row = 0; row < rowCount; ++row) {
                auto* target = out.data() + row * columns + column;
                const auto at = word * stride + firstRow + row;
                if (bits != 3) {
                    spreadWord(wordAt(data, at), bits, codesAtOnce, target);
                    continue;
                }
                const std::uint32_t three[] = {
                    wordAt(data, at), wordAt(data, at + stride), wordAt(data, at + 2 * stride)};
                unpackStream(reinterpret_cast<const std::byte*>(three), bits, codesAtOnce, target);
            }
    };
}

GroupFigures rowFigures(const TensorView& figures, std::uint64_t groups)
{
    return [dtype = figures.dtype, data = figures.bytes.data(), groups](std::uint64_t row, std::span<float> out) {
        decodeElements(dtype, data, row * groups, 1, out.size(), out.data());
    };
}

GroupFigures columnFigures(const TensorView& figures, std::uint64_t rows)
{
    return [dtype = figures.dtype, data = figures.bytes.data(), rows](std::uint64_t row, std::span<float> out) {
        decodeElements(dtype, data, row, rows, out.size(), out.data());
    };
}

GroupFigures constantFigure(float value)
{
    return [value](std::uint64_t, std::span<float> out) { std::fill(out.begin(), out.end(), value); };
}

std::string gridText(
    std::string_view format, std::uint64_t groupLength, std::uint64_t columns, std::optional<bool> symmetric)
{
    auto text = std::string(format);
    text += groupLength >= columns ? std::string(":channel") : ":g" + std::to_string(groupLength);
    if (symmetric)
        text += *symmetric ? ":sym" : ":asym";
    return text;
}

}  // namespace quantloupe
