// SPDX-License-Identifier: GPL-3.0-or-later
// BitNet as Hugging Face stores it: four ternary codes to a byte along the output channels, weight [out/4, in], and one
// scale. Source: interop notes, section 10.8.
#include "core/file_formats/packed_layouts/packed_decoder.h"
#include "core/file_formats/packed_layouts/packed_layout.h"

namespace quantloupe::packed_layouts {
namespace {

Result<std::optional<PackedWeight>> recognise(StoredParts& parts, const QuantizationSettings& settings)
{
    constexpr std::uint64_t rowsPerByte = 4;
    const auto& codes = parts.codes();
    if (settings.method != "bitnet" || codes.dtype != DType::U8 || codes.shape.size() != 2 || codes.elements() == 0
        || !parts.has(".weight_scale"))
        return std::nullopt;
    const auto scale = parts.need(".weight_scale");
    if (!scale)
        return tl::unexpected(scale.error());
    if (auto typed = parts.expectFloats(".weight_scale", **scale); !typed)
        return tl::unexpected(typed.error());
    if ((*scale)->elements() != 1)
        return parts.malformed(".weight_scale", "is not one number");
    float value = 0.0F;
    decodeElements((*scale)->dtype, (*scale)->bytes.data(), 0, 1, 1, &value);

    const auto packedRows = codes.shape[0], columns = codes.shape[1];
    GroupedWeights weights {
        .matrix = {packedRows * rowsPerByte, columns}, .groups = 1, .groupLength = columns, .codes = {}};
    weights.codes = [data = codes.bytes.data(), packedRows, columns](
                        std::uint64_t firstRow, std::uint64_t rowCount, std::span<float> out) {
        for (std::uint64_t row = 0; row < rowCount; ++row) {
            const auto* bytes = data + (firstRow + row) % packedRows * columns;
            const auto shift = static_cast<unsigned>(2 * ((firstRow + row) / packedRows));
            for (std::uint64_t column = 0; column < columns; ++column)
                out[row * columns + column] =
                    static_cast<float>((std::to_integer<unsigned>(bytes[column]) >> shift) & 3U);
        }
    };
    weights.scales = constantFigure(settings.linearClass == "autobitlinear" ? value : 1.0F / value);
    weights.zeros = constantFigure(1.0F);
    return PackedWeight {.shape = {packedRows * rowsPerByte, columns},
        .decoder = makeGroupedDecoder(parts.takenViews(), "BitNet ternary:tensor", std::move(weights))};
}

}  // namespace

extern const PackedLayout bitnet;
const PackedLayout bitnet {"BitNet", ".weight", recognise};

}  // namespace quantloupe::packed_layouts
