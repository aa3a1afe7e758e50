// SPDX-License-Identifier: GPL-3.0-or-later
// bitsandbytes: NF4 and FP4, whose blocks run over the flattened matrix, and LLM.int8(). Source: interop notes,
// section 10.3.
#include "core/base/json_events.h"
#include "core/file_formats/packed_layouts/packed_decoder.h"
#include "core/file_formats/packed_layouts/packed_layout.h"

#include <array>
#include <optional>

namespace quantloupe::packed_layouts {
namespace {

constexpr std::size_t codeCount = 16, nestedCodeCount = 256;
constexpr std::uint64_t mostStateBytes = 65'536;

/// The JSON text that lies beside the codes, in a tensor of bytes.
struct QuantizationState {
    Shape shape {};
    std::uint64_t block = 0, nestedBlock = 0;
    double nestedOffset = 0.0;
};

/// What the codes of a 4-bit matrix stand for.
struct BlockTable {
    std::array<float, codeCount> levels {};
    std::uint64_t block = 0;
    TensorView largest {};  ///< absmax of each block, or codes of it
    // Where those are quantized in turn:
    std::vector<float> nestedLevels {};
    TensorView nestedLargest {};
    std::uint64_t nestedBlock = 0;
    float nestedOffset = 0.0F;

    float scaleOf(std::uint64_t i) const
    {
        float scale = 0.0F;
        if (nestedLevels.empty()) {
            decodeElements(largest.dtype, largest.bytes.data(), i, 1, 1, &scale);
            return scale;
        }
        decodeElements(nestedLargest.dtype, nestedLargest.bytes.data(), i / nestedBlock, 1, 1, &scale);
        return nestedLevels[std::to_integer<std::size_t>(largest.bytes[i])] * scale + nestedOffset;
    }
};

class FlatBlockDecoder final : public PackedDecoder
{
public:
    FlatBlockDecoder(const StoredParts& parts, std::string text, BlockTable table, std::uint64_t columns)
        : PackedDecoder(parts.takenViews(), std::move(text))
        , m_table(std::move(table))
        , m_codes(parts.codes().bytes.data())
        , m_columns(columns)
    {
    }

    void decodeRows(std::uint64_t firstRow, std::uint64_t, std::span<float> out) const override
    {
        const auto first = firstRow * m_columns;
        for (std::size_t i = 0; i < out.size();) {
            const auto block = (first + i) / m_table.block;
            const auto end = std::min<std::uint64_t>(out.size(), (block + 1) * m_table.block - first);
            const float scale = m_table.scaleOf(block);
            for (; i < end; ++i) {
                const auto pair = std::to_integer<unsigned>(m_codes[(first + i) / 2]);
                out[i] = m_table.levels[(first + i) % 2 == 0 ? pair >> 4U : pair & 0xFU] * scale;
            }
        }
    }

private:
    BlockTable m_table;
    const std::byte* m_codes;
    std::uint64_t m_columns;
};

Result<QuantizationState> readState(const StoredParts& parts, std::string_view suffix, const TensorView& text)
{
    QuantizationState state;
    if (text.bytes.size() > mostStateBytes)
        return parts.malformed(suffix, "is too long");
    const auto read = readJson({reinterpret_cast<const char*>(text.bytes.data()), text.bytes.size()},
        parts.module() + std::string(suffix), 0, [&](const JsonEvent& event) -> Result<void> {
            const bool number = event.kind == JsonEvent::Kind::Unsigned;
            if (event.path.empty())
                return {};
            const auto& key = event.path[0];
            if (key == "shape" && event.path.size() == 2 && number)
                state.shape.push_back(event.number);
            if (event.path.size() != 1)
                return {};
            if (key == "blocksize" && number)
                state.block = event.number;
            else if (key == "nested_blocksize" && number)
                state.nestedBlock = event.number;
            else if (key == "nested_offset")
                state.nestedOffset = number ? static_cast<double>(event.number) : event.real;
            return {};
        });
    if (!read)
        return tl::unexpected(read.error());
    if (state.shape.size() < 2 || state.block == 0 || state.block % 2 != 0)
        return parts.malformed(suffix, "does not give shape and block size");
    return state;
}

/// Levels as a tensor of `count` numbers.
Result<std::vector<float>> readLevels(StoredParts& parts, std::string_view suffix, std::size_t count)
{
    const auto levels = parts.need(suffix);
    if (!levels)
        return tl::unexpected(levels.error());
    if (auto typed = parts.expectFloats(suffix, **levels); !typed)
        return tl::unexpected(typed.error());
    if (auto fits = parts.expectShape(suffix, **levels, {count}); !fits)
        return tl::unexpected(fits.error());
    std::vector<float> values(count);
    decodeElements((*levels)->dtype, (*levels)->bytes.data(), 0, 1, count, values.data());
    return values;
}

Result<void> readNested(StoredParts& parts, const QuantizationState& state, std::uint64_t blocks, BlockTable& table)
{
    auto levels = readLevels(parts, ".weight.nested_quant_map", nestedCodeCount);
    if (!levels)
        return tl::unexpected(levels.error());
    const auto largest = parts.need(".weight.nested_absmax");
    if (!largest)
        return tl::unexpected(largest.error());
    if (auto typed = parts.expectFloats(".weight.nested_absmax", **largest); !typed)
        return typed;
    if (state.nestedBlock == 0)
        return parts.malformed(".weight.nested_absmax", "has blocks of a size that is not given");
    if ((*largest)->elements() != ceilDivide(blocks, state.nestedBlock))
        return parts.malformed(".weight.nested_absmax", "has another length than the blocks ask for");
    table.nestedLevels = std::move(*levels);
    table.nestedLargest = **largest;
    table.nestedBlock = state.nestedBlock;
    table.nestedOffset = static_cast<float>(state.nestedOffset);
    return {};
}

Result<std::optional<PackedWeight>> recogniseFourBits(StoredParts& parts, std::string_view kind)
{
    const auto suffix = ".weight.quant_state.bitsandbytes__" + std::string(kind);
    const auto text = parts.need(suffix);
    if (!text)
        return tl::unexpected(text.error());
    const auto& codes = parts.codes();
    if (auto typed = parts.expectType(suffix, **text, {DType::U8}); !typed)
        return tl::unexpected(typed.error());
    const auto state = readState(parts, suffix, **text);
    if (!state)
        return tl::unexpected(state.error());
    const auto weights = elementCount(state->shape);
    if (!weights || *weights == 0 || ceilDivide(*weights, 2) != codes.bytes.size())
        return parts.malformed(
            {}, "holds another number of codes than a matrix of " + extentsText(state->shape) + " has");
    const auto blocks = ceilDivide(*weights, state->block);

    BlockTable table {.block = state->block};
    const auto levels = readLevels(parts, ".weight.quant_map", codeCount);
    if (!levels)
        return tl::unexpected(levels.error());
    std::copy(levels->begin(), levels->end(), table.levels.begin());
    const auto largest = parts.need(".weight.absmax");
    if (!largest)
        return tl::unexpected(largest.error());
    if ((*largest)->elements() != blocks)
        return parts.malformed(".weight.absmax", "has another length than " + std::to_string(blocks) + " blocks");
    table.largest = **largest;
    const bool nested = (*largest)->dtype == DType::U8;
    if (nested) {
        if (auto read = readNested(parts, *state, blocks, table); !read)
            return tl::unexpected(read.error());
    } else if (auto typed = parts.expectFloats(".weight.absmax", **largest); !typed) {
        return tl::unexpected(typed.error());
    }
    auto description = "bitsandbytes " + std::string(kind) + ":g" + std::to_string(state->block)
        + (nested ? ", scales quantized in turn" : "");
    const auto columns = state->shape.back();
    return PackedWeight {.shape = state->shape,
        .decoder = std::make_shared<FlatBlockDecoder>(parts, std::move(description), std::move(table), columns)};
}

/// One scale per row; the codes count in 127ths of it.
Result<std::optional<PackedWeight>> recogniseEightBits(StoredParts& parts)
{
    const auto& codes = parts.codes();
    if (codes.shape.size() != 2)
        return parts.malformed({}, "is not a matrix");
    const auto largest = parts.need(".SCB");
    if (!largest)
        return tl::unexpected(largest.error());
    if (auto typed = parts.expectFloats(".SCB", **largest); !typed)
        return tl::unexpected(typed.error());
    const auto rows = codes.shape[0], columns = codes.shape[1];
    if (auto fits = parts.expectShape(".SCB", **largest, {rows}); !fits)
        return tl::unexpected(fits.error());
    const auto format = parts.take(".weight_format");
    if (!format)
        return tl::unexpected(format.error());
    if (*format && (*format)->bytes.size() == 1 && (*format)->bytes[0] != std::byte {0})
        return parts.unsupported("is ordered for one kind of processor, which is not built");
    GroupedWeights weights {.matrix = {rows, columns}, .groups = 1, .groupLength = columns};
    weights.codes = plainCodes(codes);
    weights.scales = [dtype = (*largest)->dtype, data = (*largest)->bytes.data()](
                         std::uint64_t row, std::span<float> out) {
        decodeElements(dtype, data, row, 1, 1, out.data());
        out[0] /= 127.0F;
    };
    return PackedWeight {.shape = codes.shape,
        .decoder = makeGroupedDecoder(parts.takenViews(), "bitsandbytes int8:channel", std::move(weights))};
}

Result<std::optional<PackedWeight>> recognise(StoredParts& parts, const QuantizationSettings&)
{
    const auto dtype = parts.codes().dtype;
    if (dtype == DType::I8 && parts.has(".SCB"))
        return recogniseEightBits(parts);
    for (const auto* kind : {"nf4", "fp4"})
        if (parts.has(".weight.quant_state.bitsandbytes__" + std::string(kind)))
            return recogniseFourBits(parts, kind);
    return std::nullopt;
}

}  // namespace

extern const PackedLayout bitsandbytes;
const PackedLayout bitsandbytes {"bitsandbytes", ".weight", recognise};

}  // namespace quantloupe::packed_layouts
