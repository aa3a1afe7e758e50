// SPDX-License-Identifier: GPL-3.0-or-later
// pack-quantized of compressed-tensors: weight_packed [out, ⌈in / codes per word⌉], weight_scale [out, groups],
// weight_zero_point packed along the output channels, weight_shape. Source: interop notes, section 10.4. Later versions
// of the library pack bit streams, [out, ⌈in · bits / 32⌉], which differ for 3, 5, 6 and 7 bits: the widths tell.
#include "core/file_formats/packed_layouts/packed_decoder.h"
#include "core/file_formats/packed_layouts/packed_layout.h"

namespace quantloupe::packed_layouts {
namespace {

struct Packing {
    unsigned bits = 0;
    bool streams = false;  ///< codes straddle words

    std::uint64_t wordsOf(std::uint64_t codes) const
    {
        return streams ? ceilDivide(codes * bits, 32) : ceilDivide(codes, 32 / bits);
    }
};

/// What gives words of this width: the bits that the file says where they fit, else the first that do.
std::optional<Packing> packingOf(const QuantizationSettings& settings, std::uint64_t columns, std::uint64_t words)
{
    const auto fitting = [&](std::uint64_t bits) -> std::optional<Packing> {
        if (bits >= 1 && bits <= 8)
            for (const bool streams : {false, true})
                if (const Packing packing {static_cast<unsigned>(bits), streams}; packing.wordsOf(columns) == words)
                    return packing;
        return std::nullopt;
    };
    for (const auto& group : settings.groups)
        if (group.bits)
            if (const auto packing = fitting(*group.bits))
                return packing;
    for (const auto bits : {4U, 8U, 2U, 3U, 6U, 5U, 7U, 1U})
        if (const auto packing = fitting(bits))
            return packing;
    return std::nullopt;
}

/// Code `index` of words `stride` words apart.
float codeAt(const std::byte* data, std::uint64_t first, std::uint64_t stride, std::uint64_t index, Packing packing)
{
    const auto bits = packing.bits;
    const std::uint64_t perWord = 32 / bits;
    const auto word = packing.streams ? index * bits / 32 : index / perWord;
    const auto shift = packing.streams ? index * bits % 32 : index % perWord * bits;
    std::uint64_t pair = wordAt(data, first + word * stride);
    if (shift + bits > 32)
        pair |= std::uint64_t {wordAt(data, first + (word + 1) * stride)} << 32U;
    return static_cast<float>((pair >> shift) & ((1U << bits) - 1U));
}

RowCodes codesOf(const TensorView& codes, Packing packing, std::uint64_t columns)
{
    if (!packing.streams)
        return wordCodes(codes, packing.bits, columns);
    return [data = codes.bytes.data(), words = codes.shape[1], packing, columns](
               std::uint64_t firstRow, std::uint64_t rowCount, std::span<float> out) {
        for (std::uint64_t row = 0; row < rowCount; ++row)
            for (std::uint64_t column = 0; column < columns; ++column)
                out[row * columns + column] = codeAt(data, (firstRow + row) * words, 1, column, packing);
    };
}

/// A column of words for each group, which hold the zero points of the output channels.
GroupFigures zeroPoints(const TensorView& zeros, Packing packing)
{
    return [data = zeros.bytes.data(), groups = zeros.shape[1], packing](std::uint64_t row, std::span<float> figures) {
        for (std::size_t group = 0; group < figures.size(); ++group)
            figures[group] = codeAt(data, group, groups, row, packing);
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
    const auto packing = packingOf(settings, columns, codes.shape[1]);
    if (!packing)
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
    weights.codes = codesOf(codes, *packing, columns);
    weights.scales = rowFigures(**scales, groups);
    weights.zeros = constantFigure(static_cast<float>(1U << (packing->bits - 1)));
    const auto zeros = parts.take(".weight_zero_point");
    if (!zeros)
        return tl::unexpected(zeros.error());
    if (*zeros) {
        if (auto typed = parts.expectType(".weight_zero_point", **zeros, {DType::I32, DType::U32}); !typed)
            return tl::unexpected(typed.error());
        if (auto fits = parts.expectShape(".weight_zero_point", **zeros, {packing->wordsOf(rows), groups}); !fits)
            return tl::unexpected(fits.error());
        weights.zeros = zeroPoints(**zeros, *packing);
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
    const auto text = "compressed-tensors "
        + gridText("int" + std::to_string(packing->bits), groupLength, columns, !*zeros)
        + (weights.groupOfColumn.empty() ? "" : ", act-order");
    return PackedWeight {.shape = *shape, .decoder = makeGroupedDecoder(parts.takenViews(), text, std::move(weights))};
}

}  // namespace

extern const PackedLayout compressed_tensors;
const PackedLayout compressed_tensors {"compressed-tensors", ".weight_packed", recognise};

}  // namespace quantloupe::packed_layouts
