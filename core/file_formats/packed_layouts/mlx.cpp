// SPDX-License-Identifier: GPL-3.0-or-later
// MLX: rows that are bit streams in 32-bit words, weight [out, in·bits/32], with scales and biases [out, in / group],
// or the block formats mxfp4, mxfp8 and nvfp4. Source: interop notes, section 10.7.
#include "core/file_formats/packed_layouts/packed_decoder.h"
#include "core/file_formats/packed_layouts/packed_layout.h"

#include <algorithm>
#include <array>
#include <utility>

namespace quantloupe::packed_layouts {
namespace {

/// Bits of a code and columns of a group.
struct Widths {
    std::uint64_t bits = 0, group = 0;
};

const WeightSettings& settingsOf(const QuantizationSettings& settings, const std::string& module)
{
    const auto own = settings.modules.find(module);
    return own == settings.modules.end() ? settings.weights : own->second;
}

/// The shapes give bits × group alone: words · 32 / groups. The file says one of the two, or what is usual is meant.
std::optional<Widths> widthsOf(const WeightSettings& stated, std::uint64_t words, std::uint64_t groups)
{
    constexpr std::array usualGroups {64U, 32U, 128U, 16U};
    constexpr std::array built {2U, 3U, 4U, 5U, 6U, 8U};
    if (groups == 0 || words * 32 % groups != 0)
        return std::nullopt;
    const auto product = words * 32 / groups;
    const auto withBits = [&](std::uint64_t bits) -> std::optional<Widths> {
        if (std::find(built.begin(), built.end(), bits) == built.end() || product % bits != 0)
            return std::nullopt;
        return Widths {bits, product / bits};
    };
    if (stated.bits)
        return withBits(*stated.bits);
    if (stated.groupSize)
        return product % *stated.groupSize == 0 ? withBits(product / *stated.groupSize) : std::nullopt;
    for (const auto group : usualGroups)
        if (product == std::uint64_t {4} * group)
            return Widths {4, group};
    for (const auto group : usualGroups)
        if (product % group == 0)
            if (const auto widths = withBits(product / group))
                return widths;
    return std::nullopt;
}

/// The parts, checked against each other. `shape`: of the weight.
struct Parts {
    Shape shape {};
    Widths widths {};
    const TensorView* scales = nullptr;
    std::uint64_t groups() const { return shape.back() / widths.group; }
};

GroupedWeights grouped(const Parts& stored, RowCodes codes)
{
    const auto columns = stored.shape.back();
    return {.matrix = {elementCount(stored.shape).value_or(0) / columns, columns},
        .groups = stored.groups(),
        .groupLength = stored.widths.group,
        .codes = std::move(codes),
        .scales = rowFigures(*stored.scales, stored.groups())};
}

Result<PackedWeight> affine(StoredParts& parts, const Parts& stored)
{
    if (auto typed = parts.expectFloats(".scales", *stored.scales); !typed)
        return tl::unexpected(typed.error());
    const auto biases = parts.need(".biases");
    if (!biases)
        return tl::unexpected(biases.error());
    if (auto typed = parts.expectFloats(".biases", **biases); !typed)
        return tl::unexpected(typed.error());
    if (auto fits = parts.expectShape(".biases", **biases, stored.scales->shape); !fits)
        return tl::unexpected(fits.error());
    const auto columns = stored.shape.back();
    auto weights = grouped(stored, streamCodes(parts.codes(), static_cast<unsigned>(stored.widths.bits), columns));
    weights.biases = rowFigures(**biases, stored.groups());
    const auto text =
        "MLX int" + std::to_string(stored.widths.bits) + ":g" + std::to_string(stored.widths.group) + ":asymf";
    return PackedWeight {
        .shape = stored.shape, .decoder = makeGroupedDecoder(parts.takenViews(), text, std::move(weights))};
}

/// Small floats with a scale of one byte per block.
Result<PackedWeight> blocks(StoredParts& parts, Parts stored, const std::string& mode)
{
    const bool nvidia = mode == "nvfp4";
    if (!nvidia && mode != "mxfp4" && mode != "mxfp8")
        return parts.unsupported("is packed in MLX's mode '" + mode + "', which is not built");
    auto elements = parts.codes(), scales = *stored.scales;
    elements.dtype = stored.widths.bits == 8 ? DType::F8_E4M3 : DType::F4;
    scales.dtype = nvidia ? DType::F8_E4M3 : DType::F8_E8M0;
    stored.scales = &scales;
    const auto asked = Widths {mode == "mxfp8" ? 8U : 4U, nvidia ? 16U : 32U};
    if (stored.widths.bits != asked.bits || stored.widths.group != asked.group)
        return parts.malformed(".scales", "does not have the blocks of " + mode);
    return PackedWeight {.shape = stored.shape,
        .decoder = makeGroupedDecoder(parts.takenViews(), "MLX " + mode, grouped(stored, plainCodes(elements)))};
}

Result<std::optional<PackedWeight>> recognise(StoredParts& parts, const QuantizationSettings& settings)
{
    const auto& codes = parts.codes();
    if (codes.dtype != DType::U32 || codes.shape.size() < 2 || codes.elements() == 0 || !parts.has(".scales"))
        return std::nullopt;
    const auto scales = parts.need(".scales");
    if (!scales)
        return tl::unexpected(scales.error());
    auto leading = codes.shape;
    leading.back() = (*scales)->shape.empty() ? 0 : (*scales)->shape.back();
    if (auto fits = parts.expectShape(".scales", **scales, leading); !fits)
        return tl::unexpected(fits.error());
    auto stated = settingsOf(settings, parts.module());
    const bool bytes = (*scales)->dtype == DType::U8;
    if (bytes && !stated.bits)
        stated.bits = stated.mode == "mxfp8" ? 8U : 4U;
    const auto widths = widthsOf(stated, codes.shape.back(), leading.back());
    if (!widths)
        return parts.malformed(".scales",
            "has " + std::to_string(leading.back()) + " groups, which rows of " + std::to_string(codes.shape.back())
                + " words do not give");
    Parts stored {.shape = codes.shape, .widths = *widths, .scales = *scales};
    stored.shape.back() = leading.back() * widths->group;
    if (!bytes)
        return affine(parts, stored);
    const auto usual = widths->group == 16 ? "nvfp4" : "mxfp4";
    return blocks(parts, stored, stated.mode.empty() || stated.mode == "affine" ? usual : stated.mode);
}

}  // namespace

extern const PackedLayout mlx;
const PackedLayout mlx {"MLX", ".weight", recognise};

}  // namespace quantloupe::packed_layouts
