// SPDX-License-Identifier: GPL-3.0-or-later
// HQQ in safetensors: W_q with scale and zero, its settings beside them as small tensors. The matrix is reshaped to
// [groups, group size] (axis 1) or [group size, groups] (axis 0), and its rows are packed in so many parts to a byte,
// the first part in the highest bits. Source: interop notes on number formats, section 10; hqq's quantize.py.
#include "core/file_formats/packed_layouts/packed_decoder.h"
#include "core/file_formats/packed_layouts/packed_layout.h"

namespace quantloupe::packed_layouts {
namespace {

/// How codes lie: `parts` rows of the reshaped matrix share a byte, or a word of 3-bit codes.
struct Packing {
    std::uint64_t bits = 0, parts = 1, bytes = 1;
};

std::optional<Packing> packingOf(std::uint64_t bits)
{
    switch (bits) {
    case 8:
    case 6:
    case 5: return Packing {8, 1, 1};
    case 4: return Packing {4, 2, 1};
    case 3: return Packing {3, 10, 4};
    case 2: return Packing {2, 4, 1};
    case 1: return Packing {1, 8, 1};
    default: return std::nullopt;
    }
}

/// The reshaped matrix.
struct Reshaped {
    Packing packing {};
    std::uint64_t width = 0;       ///< columns of the reshaped matrix
    std::uint64_t packedRows = 0;  ///< that are stored
    bool groupsAreRows = true;
};

class ReshapedDecoder final : public PackedDecoder
{
public:
    ReshapedDecoder(const StoredParts& parts, std::string text, Reshaped reshaped, TensorView scales, TensorView zeros,
        std::uint64_t columns)
        : PackedDecoder(parts.takenViews(), std::move(text))
        , m_reshaped(reshaped)
        , m_codes(parts.codes().bytes.data())
        , m_scales(std::move(scales))
        , m_zeros(std::move(zeros))
        , m_columns(columns)
    {
    }

    void decodeRows(std::uint64_t firstRow, std::uint64_t, std::span<float> out) const override
    {
        const auto first = firstRow * m_columns, width = m_reshaped.width;
        // Runs that stay in one row of the reshaped matrix.
        for (std::size_t i = 0; i < out.size();) {
            const auto row = (first + i) / width, column = (first + i) % width;
            const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(out.size() - i, width - column));
            decodeRun(row, column, out.subspan(i, count));
            i += count;
        }
    }

private:
    void decodeRun(std::uint64_t row, std::uint64_t column, std::span<float> out) const
    {
        const auto& packing = m_reshaped.packing;
        const auto part = row / m_reshaped.packedRows, packedRow = row % m_reshaped.packedRows;
        const auto shift = static_cast<unsigned>((packing.parts - 1 - part) * packing.bits);
        const auto mask = (1U << packing.bits) - 1U;
        float scale = 0.0F, zero = 0.0F;
        if (m_reshaped.groupsAreRows) {
            scale = figure(m_scales, row);
            zero = figure(m_zeros, row);
        }
        for (std::size_t i = 0; i < out.size(); ++i) {
            const auto at = packedRow * m_reshaped.width + column + i;
            const auto word = packing.bytes == 4 ? wordAt(m_codes, at) : std::to_integer<std::uint32_t>(m_codes[at]);
            if (!m_reshaped.groupsAreRows) {
                scale = figure(m_scales, column + i);
                zero = figure(m_zeros, column + i);
            }
            out[i] = (static_cast<float>((word >> shift) & mask) - zero) * scale;
        }
    }

    static float figure(const TensorView& figures, std::uint64_t i)
    {
        float value = 0.0F;
        decodeElements(figures.dtype, figures.bytes.data(), i, 1, 1, &value);
        return value;
    }

    Reshaped m_reshaped;
    const std::byte* m_codes;
    TensorView m_scales, m_zeros;
    std::uint64_t m_columns;
};

/// A whole number that a small tensor holds, element `i`; of a setting that is not there, nothing.
Result<std::optional<std::uint64_t>> setting(StoredParts& parts, std::string_view suffix, std::uint64_t i = 0)
{
    const auto stored = parts.take(suffix);
    if (!stored)
        return tl::unexpected(stored.error());
    if (!*stored || (*stored)->elements() <= i || !(*stored)->decodable())
        return std::nullopt;
    float value = 0.0F;
    decodeElements((*stored)->dtype, (*stored)->bytes.data(), i, 1, 1, &value);
    constexpr float mostExact = 16'777'216.0F;
    if (!(value >= 0.0F && value <= mostExact))
        return parts.malformed(suffix, "holds a number that makes no sense");
    return static_cast<std::uint64_t>(value);
}

/// What nothing is decoded from, but belongs to the weight all the same.
Result<void> takeTheRest(StoredParts& parts)
{
    for (const auto* suffix : {".packing", ".unpack_view_dtype", ".view_as_float", ".quant_scale", ".quant_zero",
             ".compute_dtype", ".channel_wise", ".optimize", ".round_zero", ".offload_meta", ".encoded_state_dict",
             ".stores_quant_config"})
        if (auto taken = parts.take(suffix); !taken)
            return tl::unexpected(taken.error());
    return {};
}

Result<std::optional<PackedWeight>> recognise(StoredParts& parts, const QuantizationSettings& settings)
{
    // W_q is a likely name for the weight of a query, too: alone, or with plain weights in it.
    if (parts.codes().shape.size() != 2 || (!parts.has(".nbits") && !parts.has(".packing") && settings.method != "hqq"))
        return std::nullopt;
    if (parts.has(".scale_q") || parts.has(".zero_q") || parts.has(".zero_scale"))
        return parts.unsupported("has scales that are quantized or packed in turn, which is not built");
    const auto scales = parts.need(".scale"), zeros = parts.need(".zero");
    if (!scales || !zeros)
        return tl::unexpected(!scales ? scales.error() : zeros.error());
    if (auto typed = parts.expectFloats(".scale", **scales); !typed)
        return tl::unexpected(typed.error());
    if (auto typed = parts.expectFloats(".zero", **zeros); !typed)
        return tl::unexpected(typed.error());
    const auto bits = setting(parts, ".nbits"), axis = setting(parts, ".axis"), group = setting(parts, ".group_size"),
               rows = setting(parts, ".shape", 0), columns = setting(parts, ".shape", 1);
    for (const auto* read : {&bits, &axis, &group, &rows, &columns})
        if (!*read)
            return tl::unexpected(read->error());
    if (!*rows || !*columns || **rows == 0 || **columns == 0)
        return parts.malformed({}, "comes without the shape of the weight");
    const auto width = bits->has_value() ? **bits : settings.weights.bits.value_or(4);
    const auto packing = packingOf(width);
    if (!packing)
        return parts.unsupported("has codes of " + std::to_string(width) + " bits, which is not built");

    const auto weights = **rows * **columns;
    const auto groups = (*scales)->elements();
    if (groups == 0 || weights % groups != 0 || (*zeros)->elements() != groups)
        return parts.malformed(".scale", "and zero do not cut " + std::to_string(weights) + " weights into groups");
    const auto groupLength = weights / groups;
    if (*group && **group != groupLength)
        return parts.malformed(".group_size",
            "says " + std::to_string(**group) + ", but the scales are of groups of " + std::to_string(groupLength));
    Reshaped reshaped {.packing = *packing, .groupsAreRows = axis->value_or(1) == 1};
    const auto height = reshaped.groupsAreRows ? groups : groupLength;
    reshaped.width = weights / height;
    reshaped.packedRows = ceilDivide(height, packing->parts);
    if (packing->bytes == 1 && height % packing->parts != 0)
        return parts.malformed({}, "packs a number of rows that does not fill bytes");
    if (reshaped.packedRows * reshaped.width * packing->bytes != parts.codes().bytes.size())
        return parts.malformed({}, "holds another number of codes than " + std::to_string(weights) + " weights have");
    if (auto taken = takeTheRest(parts); !taken)
        return tl::unexpected(taken.error());
    const auto text = "HQQ int" + std::to_string(width) + ":g" + std::to_string(groupLength)
        + (reshaped.groupsAreRows ? "" : " along columns");
    return PackedWeight {.shape = {**rows, **columns},
        .decoder = std::make_shared<ReshapedDecoder>(parts, text, reshaped, **scales, **zeros, **columns)};
}

}  // namespace

extern const PackedLayout hqq;
const PackedLayout hqq {"HQQ", ".W_q", recognise};

}  // namespace quantloupe::packed_layouts
