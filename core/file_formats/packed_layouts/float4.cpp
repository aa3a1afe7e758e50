// SPDX-License-Identifier: GPL-3.0-or-later
// Pairs of FP4 (E2M1) in bytes with a scale per block: NVFP4 of compressed-tensors and of ModelOpt, MXFP4 of
// compressed-tensors and of gpt-oss. Source: interop notes, sections 10.4 to 10.6.
#include "core/file_formats/packed_layouts/packed_decoder.h"
#include "core/file_formats/packed_layouts/packed_layout.h"

namespace quantloupe::packed_layouts {
namespace {

constexpr std::uint64_t nvBlock = 16, mxBlock = 32;

/// How the one scale of the whole tensor acts on those of the blocks.
enum class TensorScale : std::uint8_t { Multiplies, Divides };

/// Scales of blocks of `length` weights; `shape`: that of the weight.
struct Blocks {
    std::uint64_t length = 0;
    Shape shape {};
    const TensorView* scales = nullptr;
};

GroupedWeights pairsInBlocks(const TensorView& codes, const Blocks& blocks)
{
    const auto columns = blocks.shape.back();
    const auto groups = columns / blocks.length;
    GroupedWeights weights {.matrix = {columns == 0 ? 0 : elementCount(blocks.shape).value_or(0) / columns, columns},
        .groups = groups,
        .groupLength = blocks.length};
    auto pairs = codes;
    pairs.dtype = DType::F4;
    weights.codes = plainCodes(pairs);
    weights.scales = rowFigures(*blocks.scales, groups);
    return weights;
}

/// Matrix or stack of pairs [..., in/2] with scales [..., in / length].
Result<Blocks> blocksOf(
    const StoredParts& parts, std::string_view suffix, const TensorView& scales, std::uint64_t length)
{
    const auto& codes = parts.codes();
    Blocks blocks {.length = length, .shape = codes.shape, .scales = &scales};
    if (codes.shape.size() < 2 || codes.shape.back() == 0 || codes.shape.back() * 2 % length != 0)
        return parts.malformed({}, "does not hold whole blocks of " + std::to_string(length));
    blocks.shape.back() *= 2;
    auto expected = blocks.shape;
    expected.back() /= length;
    if (auto fits = parts.expectShape(suffix, scales, expected); !fits)
        return tl::unexpected(fits.error());
    return blocks;
}

Result<std::optional<PackedWeight>> recogniseNvfp4(
    StoredParts& parts, std::string_view globalSuffix, TensorScale acts, std::string_view tool)
{
    const auto scales = parts.need(".weight_scale");
    if (!scales)
        return tl::unexpected(scales.error());
    if (auto typed = parts.expectType(".weight_scale", **scales, {DType::F8_E4M3}); !typed)
        return tl::unexpected(typed.error());
    const auto blocks = blocksOf(parts, ".weight_scale", **scales, nvBlock);
    if (!blocks)
        return tl::unexpected(blocks.error());
    const auto global = parts.need(globalSuffix);
    if (!global)
        return tl::unexpected(global.error());
    if (auto typed = parts.expectFloats(globalSuffix, **global); !typed)
        return tl::unexpected(typed.error());
    if ((*global)->elements() != 1)
        return parts.malformed(globalSuffix, "is not one number");
    float tensorScale = 0.0F;
    decodeElements((*global)->dtype, (*global)->bytes.data(), 0, 1, 1, &tensorScale);
    auto weights = pairsInBlocks(parts.codes(), *blocks);
    weights.scales = [own = weights.scales, tensorScale, acts](std::uint64_t row, std::span<float> out) {
        own(row, out);
        for (float& scale : out)
            scale = acts == TensorScale::Multiplies ? scale * tensorScale : scale / tensorScale;
    };
    return PackedWeight {.shape = blocks->shape,
        .decoder = makeGroupedDecoder(parts.takenViews(), std::string(tool) + " nvfp4", std::move(weights))};
}

/// Scales that are powers of two, stored as exponents.
Result<std::optional<PackedWeight>> recogniseMxfp4(StoredParts& parts)
{
    const auto scales = parts.need(".weight_scale");
    if (!scales)
        return tl::unexpected(scales.error());
    auto exponents = **scales;
    exponents.dtype = DType::F8_E8M0;
    const auto blocks = blocksOf(parts, ".weight_scale", exponents, mxBlock);
    if (!blocks)
        return tl::unexpected(blocks.error());
    return PackedWeight {.shape = blocks->shape,
        .decoder =
            makeGroupedDecoder(parts.takenViews(), "compressed-tensors mxfp4", pairsInBlocks(parts.codes(), *blocks))};
}

/// gpt-oss: blocks [..., in/32, 16] and scales [..., in/32], of stacks of experts.
Result<std::optional<PackedWeight>> recogniseBlocks(StoredParts& parts)
{
    const auto& codes = parts.codes();
    if (!parts.has("_scales") || codes.shape.size() < 3 || codes.shape.back() != mxBlock / 2)
        return std::nullopt;
    const auto scales = parts.need("_scales");
    if (!scales)
        return tl::unexpected(scales.error());
    if (auto typed = parts.expectType("_scales", **scales, {DType::U8, DType::F8_E8M0}); !typed)
        return tl::unexpected(typed.error());
    Blocks blocks {.length = mxBlock, .shape = codes.shape};
    blocks.shape.pop_back();
    if (auto fits = parts.expectShape("_scales", **scales, blocks.shape); !fits)
        return tl::unexpected(fits.error());
    auto exponents = **scales;
    exponents.dtype = DType::F8_E8M0;
    blocks.scales = &exponents;
    if (__builtin_mul_overflow(blocks.shape.back(), mxBlock, &blocks.shape.back()))
        return parts.malformed({}, "has extents that overflow");
    return PackedWeight {.shape = blocks.shape,
        .decoder = makeGroupedDecoder(parts.takenViews(), "mxfp4", pairsInBlocks(codes, blocks)),
        .suffix = ""};
}

Result<std::optional<PackedWeight>> recognise(StoredParts& parts, const QuantizationSettings&)
{
    if (parts.codes().dtype != DType::U8)
        return std::nullopt;
    if (const auto* scales = parts.peek(".weight_scale")) {
        if (parts.has(".weight_packed") && parts.has(".weight_global_scale"))
            return recogniseNvfp4(parts, ".weight_global_scale", TensorScale::Divides, "compressed-tensors");
        if (parts.has(".weight_packed") && (scales->dtype == DType::U8 || scales->dtype == DType::F8_E8M0))
            return recogniseMxfp4(parts);
        if (parts.has(".weight") && parts.has(".weight_scale_2") && scales->dtype == DType::F8_E4M3)
            return recogniseNvfp4(parts, ".weight_scale_2", TensorScale::Multiplies, "ModelOpt");
    }
    return recogniseBlocks(parts);
}

}  // namespace

extern const PackedLayout float4;
const PackedLayout float4 {"FP4", ".weight_packed .weight _blocks", recognise};

}  // namespace quantloupe::packed_layouts
