// SPDX-License-Identifier: GPL-3.0-or-later
// pack-quantized of compressed-tensors: weight_packed [out, ⌈in / codes per word⌉], weight_scale [out, groups],
// weight_zero_point packed along the output channels, weight_shape. Source: interop notes, section 10.4.
#include "core/file_formats/packed_layouts/packed_decoder.h"
#include "core/file_formats/packed_layouts/packed_layout.h"

namespace quantloupe::packed_layouts {
namespace {

/// The number of bits that gives words of this width: what the file says where it fits, else the first that does.
std::optional<unsigned> bitsOf(const QuantizationSettings& settings, std::uint64_t columns, std::uint64_t words)
{
    const auto fits = [&](std::uint64_t bits) {
        return bits >= 1 && bits <= 8 && ceilDivide(columns, 32 / bits) == words;
    };
    for (const auto& group : settings.groups)
        if (group.bits && fits(*group.bits))
            return static_cast<unsigned>(*group.bits);
    for (const auto bits : {4U, 8U, 2U, 3U, 6U, 5U, 7U, 1U})
        if (fits(bits))
            return bits;
    return std::nullopt;
}

/// A column of words, each of which holds the zero points of several output channels.
GroupFigures zeroPoints(const TensorView& zeros, unsigned bits)
{
    return [data = zeros.bytes.data(), groups = zeros.shape[1], bits](std::uint64_t row, std::span<float> figures) {
        const std::uint64_t perWord = 32 / bits;
        const auto shift = static_cast<unsigned>(row % perWord) * bits;
        for (std::size_t group = 0; group < figures.size(); ++group)
            figures[group] =
                static_cast<float>((wordAt(data, row / perWord * groups + group) >> shift) & ((1U << bits) - 1U));
    };
}

Result<Shape> weightShape(StoredParts& parts)
{
    const auto stored = parts.need(".weight_shape");
    if (!stored)
        return tl::unexpected(stored.error());
    if (auto typed = parts.expectType(".weight_shape", **stored, {DType::I64, DType::I32}); !typed)
        return tl::unexpected(typed.error());
    if ((*stored)->elements() != 2)
        return parts.malformed(".weight_shape", "does not hold two extents");
    Shape shape;
    for (std::size_t i = 0; i < 2; ++i) {
        float extent = 0.0F;
        decodeElements((*stored)->dtype, (*stored)->bytes.data(), i, 1, 1, &extent);
        constexpr float mostExact = 16'777'216.0F;
        if (!(extent >= 1.0F && extent <= mostExact))
            return parts.malformed(".weight_shape", "holds an extent that no matrix has");
        shape.push_back(static_cast<std::uint64_t>(extent));
    }
    return shape;
}

/// Group numbers of the columns; empty where the file says that there is nothing to say.
Result<std::vector<std::uint32_t>> groupNumbers(
    const StoredParts& parts, const TensorView& indices, std::uint64_t groups)
{
    constexpr std::uint32_t unused = ~0U;
    std::vector<std::uint32_t> numbers(static_cast<std::size_t>(indices.elements()));
    for (std::size_t column = 0; column < numbers.size(); ++column) {
        numbers[column] = wordAt(indices.bytes.data(), column);
        if (numbers[column] == unused && numbers[0] == unused)
            continue;
        if (numbers[column] >= groups)
            return parts.malformed(".weight_g_idx",
                "names a group beyond the " + std::to_string(groups) + " that there are, for column "
                    + std::to_string(column));
    }
    if (!numbers.empty() && numbers[0] == unused)
        numbers.clear();
    return numbers;
}

Result<std::optional<PackedWeight>> recognise(StoredParts& parts, const QuantizationSettings& settings)
{
    const auto& codes = parts.codes();
    if (codes.dtype != DType::I32 && codes.dtype != DType::U32)
        return std::nullopt;  // nvfp4 and mxfp4 have bytes
    if (parts.has(".scale_packed") || parts.has(".meta"))
        return parts.unsupported("is packed for one kernel (marlin-24), which is not built");
    const auto shape = weightShape(parts);
    if (!shape)
        return tl::unexpected(shape.error());
    const auto rows = (*shape)[0], columns = (*shape)[1];
    if (codes.shape.size() != 2 || codes.shape[0] != rows)
        return parts.malformed({}, "does not have the " + std::to_string(rows) + " rows that weight_shape states");
    const auto bits = bitsOf(settings, columns, codes.shape[1]);
    if (!bits)
        return parts.malformed({},
            "is " + std::to_string(codes.shape[1])
                + " words wide, which no number of bits gives"
                  " for "
                + std::to_string(columns) + " columns");
    const auto scales = parts.need(".weight_scale");
    if (!scales)
        return tl::unexpected(scales.error());
    if (auto typed = parts.expectFloats(".weight_scale", **scales); !typed)
        return tl::unexpected(typed.error());
    const auto groups = rows == 0 ? 0 : (*scales)->elements() / rows;
    if (groups == 0 || (*scales)->elements() % rows != 0 || groups > columns)
        return parts.malformed(".weight_scale", "does not hold scales for each of the rows");
    auto groupLength = ceilDivide(columns, groups);
    for (const auto& group : settings.groups)
        if (group.groupSize && ceilDivide(columns, *group.groupSize) == groups)
            groupLength = *group.groupSize;
    if (ceilDivide(columns, groupLength) != groups)
        return parts.malformed(".weight_scale",
            "has " + std::to_string(groups) + " groups, which " + std::to_string(columns) + " columns do not give");

    GroupedWeights weights {.matrix = {rows, columns}, .groups = groups, .groupLength = groupLength};
    weights.codes = wordCodes(codes, *bits, columns);
    weights.scales = rowFigures(**scales, groups);
    weights.zeros = constantFigure(static_cast<float>(1U << (*bits - 1)));
    const auto zeros = parts.take(".weight_zero_point");
    if (!zeros)
        return tl::unexpected(zeros.error());
    if (*zeros) {
        if (auto typed = parts.expectType(".weight_zero_point", **zeros, {DType::I32, DType::U32}); !typed)
            return tl::unexpected(typed.error());
        if (auto fits = parts.expectShape(".weight_zero_point", **zeros, {ceilDivide(rows, 32 / *bits), groups}); !fits)
            return tl::unexpected(fits.error());
        weights.zeros = zeroPoints(**zeros, *bits);
    }
    const auto indices = parts.take(".weight_g_idx");
    if (!indices)
        return tl::unexpected(indices.error());
    if (*indices) {
        if (auto typed = parts.expectType(".weight_g_idx", **indices, {DType::I32}); !typed)
            return tl::unexpected(typed.error());
        if (auto fits = parts.expectShape(".weight_g_idx", **indices, {columns}); !fits)
            return tl::unexpected(fits.error());
        auto numbers = groupNumbers(parts, **indices, groups);
        if (!numbers)
            return tl::unexpected(numbers.error());
        weights.groupOfColumn = std::move(*numbers);
    }
    const auto text = "compressed-tensors " + gridText("int" + std::to_string(*bits), groupLength, columns, !*zeros)
        + (weights.groupOfColumn.empty() ? "" : ", act-order");
    return PackedWeight {.shape = *shape, .decoder = makeGroupedDecoder(parts.takenViews(), text, std::move(weights))};
}

}  // namespace

extern const PackedLayout compressed_tensors;
const PackedLayout compressed_tensors {"compressed-tensors", ".weight_packed", recognise};

}  // namespace quantloupe::packed_layouts
