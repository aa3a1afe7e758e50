// SPDX-License-Identifier: GPL-3.0-or-later
// Plain INT8 or FP8 elements beside scales of the tensor, of rows, of groups or of two-dimensional blocks:
// int-quantized and float-quantized of compressed-tensors, FP8 of DeepSeek (weight_scale_inv, which despite its name
// multiplies), of ModelOpt and others. Source: interop notes, sections 10.4 and 10.6.
#include "core/file_formats/packed_layouts/packed_decoder.h"
#include "core/file_formats/packed_layouts/packed_layout.h"

#include <algorithm>

namespace quantloupe::packed_layouts {
namespace {

/// Which rows and columns share a scale. No rectangle reaches from one matrix of a stack into the next.
struct Rectangle {
    std::uint64_t rows = 0, columns = 0;
    std::uint64_t rowsOfMatrix = 0;
};

/// The longest block that cuts `extent` into `parts`, unless a stated one does.
std::optional<std::uint64_t> blockLength(
    std::uint64_t extent, std::uint64_t parts, const std::vector<std::uint64_t>& stated, std::size_t axis)
{
    if (parts == 0 || parts > extent)
        return std::nullopt;
    if (parts == 1)
        return extent;
    if (stated.size() == 2 && stated[axis] > 0 && ceilDivide(extent, stated[axis]) == parts)
        return stated[axis];
    // Blocks that are not stated: 128 where it fits, as all known writers have it.
    constexpr std::uint64_t usual = 128;
    if (ceilDivide(extent, usual) == parts)
        return usual;
    const auto length = ceilDivide(extent, parts);
    return ceilDivide(extent, length) == parts ? std::optional(length) : std::nullopt;
}

const std::vector<std::uint64_t>& statedBlock(const QuantizationSettings& settings)
{
    for (const auto& group : settings.groups)
        if (!group.block.empty())
            return group.block;
    return settings.weights.block;
}

std::string rectangleText(const Rectangle& block, std::uint64_t columns)
{
    if (block.rows >= block.rowsOfMatrix && block.columns >= columns && block.rows > 1)
        return ":tensor";
    if (block.rows == 1)
        return block.columns >= columns ? ":channel" : ":g" + std::to_string(block.columns);
    return ":b" + std::to_string(block.rows) + "x" + std::to_string(block.columns);
}

/// Scales [⌈rows / block⌉, ⌈columns / block⌉] as those of each row's groups, matrix by matrix of a stack.
GroupFigures blockFigures(const TensorView& figures, const Rectangle& block, std::uint64_t groups)
{
    return [dtype = figures.dtype, data = figures.bytes.data(), rowsOfMatrix = block.rowsOfMatrix, high = block.rows,
               groups](std::uint64_t row, std::span<float> out) {
        const auto band = row / rowsOfMatrix * ceilDivide(rowsOfMatrix, high) + row % rowsOfMatrix / high;
        decodeElements(dtype, data, band * groups, 1, groups, out.data());
    };
}

/// One number for each step along the first extents, and the same for all that lies below: of the whole, of each matrix
/// of a stack, of rows.
std::optional<Rectangle> sharedByWholeRows(const Shape& weight, Shape scales)
{
    while (!scales.empty() && scales.back() == 1)
        scales.pop_back();
    if (scales.size() >= weight.size() || !std::equal(scales.begin(), scales.end(), weight.begin()))
        return std::nullopt;
    std::uint64_t rows = 1;
    for (auto i = scales.size(); i + 1 < weight.size(); ++i)
        rows *= weight[i];
    return Rectangle {rows, weight.back(), rows};
}

/// What the shape of the scales says: of whole rows, or of a grid of blocks over the last two extents.
std::optional<Rectangle> rectangleOf(const Shape& weight, const Shape& scales, const std::vector<std::uint64_t>& stated)
{
    if (const auto whole = sharedByWholeRows(weight, scales))
        return whole;
    const auto rows = weight[weight.size() - 2], columns = weight.back();
    if (scales.size() != weight.size() || !std::equal(weight.begin(), weight.end() - 2, scales.begin()))
        return std::nullopt;
    const auto high = blockLength(rows, scales[scales.size() - 2], stated, 0);
    const auto wide = blockLength(columns, scales.back(), stated, 1);
    if (!high || !wide)
        return std::nullopt;
    return Rectangle {*high, *wide, rows};
}

Result<std::optional<PackedWeight>> recognise(StoredParts& parts, const QuantizationSettings& settings)
{
    const auto& codes = parts.codes();
    const bool integers = codes.dtype == DType::I8;
    if ((!integers && codes.dtype != DType::F8_E4M3 && codes.dtype != DType::F8_E5M2) || codes.shape.size() < 2
        || codes.elements() == 0)
        return std::nullopt;
    const auto* suffix = parts.has(".weight_scale_inv") ? ".weight_scale_inv" : ".weight_scale";
    if (!parts.has(suffix))
        return std::nullopt;
    const auto scales = parts.need(suffix);
    if (!scales)
        return tl::unexpected(scales.error());
    if (auto typed = parts.expectType(suffix, **scales, {DType::F32, DType::F16, DType::BF16, DType::F8_E8M0}); !typed)
        return tl::unexpected(typed.error());
    const auto& shape = codes.shape;
    const auto columns = shape.back();
    const auto block = rectangleOf(shape, (*scales)->shape, statedBlock(settings));
    if (!block)
        return parts.malformed(
            suffix, "is " + extentsText((*scales)->shape) + ", which does not fit weights of " + extentsText(shape));

    const auto groups = ceilDivide(columns, block->columns);
    GroupedWeights weights {
        .matrix = {codes.elements() / columns, columns}, .groups = groups, .groupLength = block->columns};
    weights.codes = plainCodes(codes);
    weights.scales = blockFigures(**scales, *block, groups);
    const auto zeros = parts.take(".weight_zero_point");
    if (!zeros)
        return tl::unexpected(zeros.error());
    if (*zeros) {
        if (auto typed = parts.expectType(".weight_zero_point", **zeros, {DType::I8, codes.dtype}); !typed)
            return tl::unexpected(typed.error());
        if (auto fits = parts.expectShape(".weight_zero_point", **zeros, (*scales)->shape); !fits)
            return tl::unexpected(fits.error());
        weights.zeros = blockFigures(**zeros, *block, groups);
    }
    const std::string tool = settings.method.empty() ? "" : settings.method + " ";
    const auto* format = integers ? "int8" : codes.dtype == DType::F8_E4M3 ? "fp8_e4m3" : "fp8_e5m2";
    const auto text = tool + format + rectangleText(*block, columns) + (integers && *zeros ? ":asym" : "");
    return PackedWeight {.shape = shape, .decoder = makeGroupedDecoder(parts.takenViews(), text, std::move(weights))};
}

}  // namespace

extern const PackedLayout scaled;
const PackedLayout scaled {"elements with scales", ".weight", recognise};

}  // namespace quantloupe::packed_layouts
