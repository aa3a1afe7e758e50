// SPDX-License-Identifier: GPL-3.0-or-later
// AWQ as AutoAWQ stores it ("gemm"): qweight [in, out/8], qzeros [groups, out/8], scales [groups, out]; eight output
// channels to a word, interleaved. Source: interop notes, section 10.2.
#include "core/file_formats/packed_layouts/packed_decoder.h"
#include "core/file_formats/packed_layouts/packed_layout.h"

#include <algorithm>

namespace quantloupe::packed_layouts {
namespace {

constexpr std::uint64_t channelsPerWord = 8;

/// Where in a word output channel j of its eight lies.
constexpr unsigned shiftOf(std::uint64_t channel)
{
    constexpr unsigned nibbles[channelsPerWord] = {0, 4, 1, 5, 2, 6, 3, 7};
    return 4 * nibbles[channel % channelsPerWord];
}

float nibbleOf(std::uint32_t word, unsigned shift)
{
    return static_cast<float>((word >> shift) & 0xFU);
}

RowCodes interleavedCodes(const TensorView& codes, std::uint64_t columns)
{
    return [data = codes.bytes.data(), words = codes.shape[1], columns](
               std::uint64_t firstRow, std::uint64_t rowCount, std::span<float> out) {
        for (std::uint64_t column = 0; column < columns; ++column)
            for (std::uint64_t row = 0; row < rowCount;) {
                const auto channel = firstRow + row;
                const auto word = wordAt(data, column * words + channel / channelsPerWord);
                const auto end = std::min(rowCount, row + channelsPerWord - channel % channelsPerWord);
                for (auto own = channel; row < end; ++row, ++own)
                    out[row * columns + column] = nibbleOf(word, shiftOf(own));
            }
    };
}

GroupFigures interleavedZeros(const TensorView& zeros)
{
    return [data = zeros.bytes.data(), words = zeros.shape[1]](std::uint64_t row, std::span<float> figures) {
        for (std::size_t group = 0; group < figures.size(); ++group)
            figures[group] = nibbleOf(wordAt(data, group * words + row / channelsPerWord), shiftOf(row));
    };
}

Result<std::optional<PackedWeight>> recognise(StoredParts& parts, const QuantizationSettings& settings)
{
    const auto& codes = parts.codes();
    if (!parts.codesAreWords() || parts.has(".g_idx") || (!parts.has(".scales") && !parts.has(".qzeros")))
        return std::nullopt;
    if (!settings.version.empty() && settings.version != "gemm" && settings.version != "GEMM")
        return parts.unsupported("is stored as AWQ's version '" + settings.version + "', which is not built");
    const auto scales = parts.need(".scales");
    if (!scales)
        return tl::unexpected(scales.error());
    const auto zeros = parts.need(".qzeros");
    if (!zeros)
        return tl::unexpected(zeros.error());
    if (auto typed = parts.expectFloats(".scales", **scales); !typed)
        return tl::unexpected(typed.error());
    if (auto typed = parts.expectType(".qzeros", **zeros, {DType::I32, DType::U32}); !typed)
        return tl::unexpected(typed.error());
    const auto columns = codes.shape[0], words = codes.shape[1];
    if ((*scales)->shape.size() != 2 || (*scales)->shape[0] == 0 || columns == 0 || columns % (*scales)->shape[0] != 0)
        return parts.malformed(".scales", "does not cut the input dimension into groups");
    const auto groups = (*scales)->shape[0], rows = (*scales)->shape[1];
    if (rows / channelsPerWord != words || rows % channelsPerWord != 0)
        return parts.malformed({},
            "is " + std::to_string(words) + " words wide, which does not fit " + std::to_string(rows) + " channels");
    if (auto fits = parts.expectShape(".qzeros", **zeros, {groups, words}); !fits)
        return tl::unexpected(fits.error());

    const auto groupLength = columns / groups;
    GroupedWeights weights {.matrix = {rows, columns},
        .groups = groups,
        .groupLength = groupLength,
        .codes = interleavedCodes(codes, columns),
        .scales = columnFigures(**scales, rows),
        .zeros = interleavedZeros(**zeros)};
    return PackedWeight {.shape = {rows, columns},
        .decoder = makeGroupedDecoder(
            parts.takenViews(), "AWQ " + gridText("int4", groupLength, columns, false), std::move(weights))};
}

}  // namespace

extern const PackedLayout awq;
const PackedLayout awq {"AWQ", ".qweight", recognise};

}  // namespace quantloupe::packed_layouts
