// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/ggml_families.h"
#include "core/kernels/ggml_fits.h"
#include "core/kernels/ggml_layouts.h"

namespace quantloupe::kernels::ggml {

namespace {

using Group = std::array<float, kGroup>;
using GroupCodes = std::array<std::uint8_t, kGroup>;

struct Grid {
    float scale = 0.0F;
    float minimum = 0.0F;
};

// The codes of q4_0 and q5_0 without importance: the extreme lands on the lowest one.
Grid plainSigned(const Group& values, int levels, GroupCodes& codes)
{
    const float scale = extremeOf(values) / static_cast<float>(-levels);
    const float inverse = finiteReciprocal(scale);
    for (std::size_t j = 0; j < kGroup; ++j) {
        const float place = values[j] * inverse + (static_cast<float>(levels) + 0.5F);
        codes[j] = static_cast<std::uint8_t>(std::min(2 * levels - 1, static_cast<int>(place)));
    }
    return {scale, 0.0F};
}

Grid plainAffine(const Group& values, int highest, GroupCodes& codes)
{
    float lowest = values[0], top = values[0];
    for (const float value : values) {
        lowest = value < lowest ? value : lowest;
        top = value > top ? value : top;
    }
    const float scale = (top - lowest) / static_cast<float>(highest);
    const float inverse = finiteReciprocal(scale);
    for (std::size_t j = 0; j < kGroup; ++j) {
        const float place = (values[j] - lowest) * inverse + 0.5F;
        codes[j] = static_cast<std::uint8_t>(std::min(highest, static_cast<int>(place)));
    }
    return {scale, lowest};
}

Grid fitted(
    const Group& values, const LegacyLayout& layout, const float* importance, float meanSquare, GroupCodes& codes)
{
    if (!importance)
        return layout.hasMinimum ? plainAffine(values, layout.highest(), codes)
                                 : plainSigned(values, layout.levels(), codes);
    Group weights;
    for (std::size_t j = 0; j < kGroup; ++j)
        weights[j] = importance[j] * std::sqrt(meanSquare + values[j] * values[j]);
    if (!layout.hasMinimum)
        return {signedFit(values, weights, layout.levels(), codes), 0.0F};
    const AffineGrid grid = affineFit(values, weights, layout.highest(), AffineSearch {}, codes);
    return {grid.scale, -grid.depth};
}

void encodeByte(const Group& values, std::byte* out)
{
    const float scale = std::fabs(extremeOf(values)) / 127.0F;
    const float inverse = finiteReciprocal(scale);
    storeHalf(out, saturatedHalf(scale));
    for (std::size_t j = 0; j < kGroup; ++j)
        out[2 + j] = static_cast<std::byte>(static_cast<int>(std::round(values[j] * inverse)));
}

GroupCodes codesOf(const LegacyLayout& layout, const std::byte* block)
{
    GroupCodes codes;
    loadNibbles(block + layout.nibbles(), codes.data());
    if (layout.hasFifthBit)
        addFifthBits(block + layout.fifthBits(), codes.data());
    return codes;
}

}  // namespace

void legacyEncodeReference(GgmlBlock block, std::span<const float> rows, std::size_t columns,
    std::span<const float> importance, std::span<std::byte> out)
{
    const LegacyLayout layout(block);
    const std::size_t bytes = ggmlBlockSize(block).bytes;
    std::byte* at = out.data();
    for (std::size_t row = 0; row < rows.size(); row += columns) {
        float meanSquare = 0.0F;
        for (std::size_t i = 0; i < columns && !importance.empty(); ++i)
            meanSquare += finiteWeight(rows[row + i]) * finiteWeight(rows[row + i]);
        meanSquare /= static_cast<float>(columns);
        for (std::size_t column = 0; column < columns; column += kGroup, at += bytes) {
            Group values;
            for (std::size_t j = 0; j < kGroup; ++j)
                values[j] = finiteWeight(rows[row + column + j]);
            if (block == GgmlBlock::Q8_0) {
                encodeByte(values, at);
                continue;
            }
            GroupCodes codes;
            const float* weights = importance.empty() ? nullptr : importance.data() + column;
            const Grid grid = fitted(values, layout, weights, meanSquare, codes);
            storeHalf(at, saturatedHalf(grid.scale));
            if (layout.hasMinimum)
                storeHalf(at + 2, saturatedHalf(grid.minimum));
            if (layout.hasFifthBit)
                storeFifthBits(at + layout.fifthBits(), codes.data());
            storeNibbles(at + layout.nibbles(), codes.data());
        }
    }
}

void legacyDecodeReference(GgmlBlock block, std::span<const std::byte> blocks, std::span<float> out)
{
    const LegacyLayout layout(block);
    const std::byte* at = blocks.data();
    for (std::size_t i = 0; i < out.size(); i += kGroup, at += ggmlBlockSize(block).bytes) {
        const float scale = halfToFloat(loadHalf(at));
        if (block == GgmlBlock::Q8_0) {
            for (std::size_t j = 0; j < kGroup; ++j)
                out[i + j] = static_cast<float>(static_cast<std::int8_t>(at[2 + j])) * scale;
            continue;
        }
        const GroupCodes codes = codesOf(layout, at);
        for (std::size_t j = 0; j < kGroup; ++j)
            out[i + j] = layout.hasMinimum ? static_cast<float>(codes[j]) * scale + halfToFloat(loadHalf(at + 2))
                                           : static_cast<float>(codes[j] - layout.levels()) * scale;
    }
}

void legacyCodes(GgmlBlock block, std::span<const std::byte> blocks, std::span<std::uint32_t> out)
{
    const LegacyLayout layout(block);
    const std::byte* at = blocks.data();
    for (std::size_t i = 0; i < out.size(); i += kGroup, at += ggmlBlockSize(block).bytes) {
        if (block == GgmlBlock::Q8_0)
            for (std::size_t j = 0; j < kGroup; ++j)
                out[i + j] = std::to_integer<std::uint32_t>(at[2 + j]);
        else
            std::ranges::copy(codesOf(layout, at), out.begin() + static_cast<std::ptrdiff_t>(i));
    }
}

}  // namespace quantloupe::kernels::ggml
