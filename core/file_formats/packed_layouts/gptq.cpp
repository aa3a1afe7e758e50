// SPDX-License-Identifier: GPL-3.0-or-later
// GPTQ as AutoGPTQ and GPTQModel store it: qweight [in·bits/32, out], qzeros [groups, out·bits/32], scales
// [groups, out], g_idx [in]. Source: interop notes, section 10.1.
#include "core/file_formats/packed_layouts/packed_decoder.h"
#include "core/file_formats/packed_layouts/packed_layout.h"

#include <algorithm>

namespace quantloupe::packed_layouts {
namespace {

/// Zero points of one row: a column of qzeros, whose rows are bit streams. Those of the first format are stored less 1.
GroupFigures zeroPoints(const TensorView& zeros, unsigned bits, float added)
{
    return
        [data = zeros.bytes.data(), words = zeros.shape[1], bits, added](std::uint64_t row, std::span<float> figures) {
            const auto firstBit = row * bits;
            const auto word = firstBit / 32, shift = firstBit % 32;
            const std::uint64_t mask = (std::uint64_t {1} << bits) - 1U;
            for (std::size_t group = 0; group < figures.size(); ++group) {
                const auto at = group * words + word;
                std::uint64_t pair = wordAt(data, at);
                if (shift + bits > 32)
                    pair |= std::uint64_t {wordAt(data, at + 1)} << 32U;
                figures[group] = static_cast<float>((pair >> shift) & mask) + added;
            }
        };
}

/// Group numbers of the columns; empty where they are the runs that one expects anyway.
Result<std::vector<std::uint32_t>> groupNumbers(
    const StoredParts& parts, const TensorView& indices, std::uint64_t groups, std::uint64_t groupLength)
{
    std::vector<std::uint32_t> numbers(static_cast<std::size_t>(indices.shape[0]));
    bool runs = true;
    for (std::size_t column = 0; column < numbers.size(); ++column) {
        numbers[column] = wordAt(indices.bytes.data(), column);
        if (numbers[column] >= groups)
            return parts.malformed(".g_idx",
                "puts column " + std::to_string(column) + " into group "
                    + std::to_string(static_cast<std::int32_t>(numbers[column])) + ", but there are "
                    + std::to_string(groups));
        runs = runs && numbers[column] == column / groupLength;
    }
    if (runs)
        numbers.clear();
    return numbers;
}

Result<std::optional<PackedWeight>> recognise(StoredParts& parts, const QuantizationSettings& settings)
{
    const auto& codes = parts.codes();
    const auto* hint = parts.peek(".scales");
    // Others call their codes qweight, too: EETQ in bytes, SqueezeLLM beside tables.
    if (!parts.codesAreWords() || (!hint && !parts.has(".qzeros")) || settings.method == "awq"
        || (settings.method != "gptq" && hint && hint->shape.size() == 2 && hint->shape[1] != codes.shape[1]))
        return std::nullopt;
    const auto scales = parts.need(".scales");
    if (!scales)
        return tl::unexpected(scales.error());
    const auto zeros = parts.need(".qzeros");
    if (!zeros)
        return tl::unexpected(zeros.error());
    const auto rows = codes.shape[1];
    if (auto typed = parts.expectFloats(".scales", **scales); !typed)
        return tl::unexpected(typed.error());
    if (auto typed = parts.expectType(".qzeros", **zeros, {DType::I32, DType::U32}); !typed)
        return tl::unexpected(typed.error());
    if ((*scales)->shape.size() != 2 || (*scales)->shape[0] == 0 || rows == 0 || codes.shape[0] == 0)
        return parts.malformed(".scales", "is not a matrix of groups by output channels");
    const auto groups = (*scales)->shape[0];
    if (auto fits = parts.expectShape(".scales", **scales, {groups, rows}); !fits)
        return tl::unexpected(fits.error());
    if ((*zeros)->shape.size() != 2 || (*zeros)->shape[1] > rows || (*zeros)->shape[1] * 32 % rows != 0)
        return parts.malformed(".qzeros", "has a width that no number of bits gives");
    const auto bits = (*zeros)->shape[1] * 32 / rows;
    if (auto fits = parts.expectShape(".qzeros", **zeros, {groups, rows * bits / 32}); !fits)
        return tl::unexpected(fits.error());
    if (bits != 2 && bits != 3 && bits != 4 && bits != 8)
        return parts.unsupported("is packed by " + std::to_string(bits) + " bits, which is not built");
    if (codes.shape[0] * 32 % bits != 0 || codes.shape[0] % (bits == 3 ? 3 : 1) != 0)
        return parts.malformed({}, "has a height that " + std::to_string(bits) + " bits do not give");
    const auto columns = codes.shape[0] * 32 / bits;

    auto groupLength = settings.weights.groupSize.value_or(columns);
    if (ceilDivide(columns, groupLength) != groups)  // a module with settings of its own
        groupLength = ceilDivide(columns, groups);
    if (ceilDivide(columns, groupLength) != groups)
        return parts.malformed(".scales",
            "has " + std::to_string(groups) + " groups, which " + std::to_string(columns) + " columns do not give");

    GroupedWeights weights {.matrix = {rows, columns}, .groups = groups, .groupLength = groupLength};
    const auto taken = parts.take(".g_idx");
    if (!taken)
        return tl::unexpected(taken.error());
    if (const auto* indices = *taken) {
        if (auto typed = parts.expectType(".g_idx", *indices, {DType::I32}); !typed)
            return tl::unexpected(typed.error());
        if (auto fits = parts.expectShape(".g_idx", *indices, {columns}); !fits)
            return tl::unexpected(fits.error());
        auto numbers = groupNumbers(parts, *indices, groups, groupLength);
        if (!numbers)
            return tl::unexpected(numbers.error());
        weights.groupOfColumn = std::move(*numbers);
    }
    const auto width = static_cast<unsigned>(bits);
    weights.codes = columnCodes(codes, width, columns);
    weights.scales = columnFigures(**scales, rows);
    weights.zeros = zeroPoints(**zeros, width, settings.checkpointFormat == "gptq_v2" ? 0.0F : 1.0F);
    const auto text = "GPTQ "
        + gridText("int" + std::to_string(bits), groupLength, columns, settings.weights.symmetric.value_or(false))
        + (weights.groupOfColumn.empty() ? "" : ", act-order");
    return PackedWeight {
        .shape = {rows, columns}, .decoder = makeGroupedDecoder(parts.takenViews(), text, std::move(weights))};
}

}  // namespace

extern const PackedLayout gptq;
const PackedLayout gptq {"GPTQ", ".qweight", recognise};

}  // namespace quantloupe::packed_layouts
