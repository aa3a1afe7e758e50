// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/ggml_families.h"
#include "core/kernels/ggml_fits.h"
#include "core/kernels/ggml_layouts.h"

namespace quantloupe::kernels::ggml {

namespace {

using Group = std::span<const float, kGroup>;
using GroupCodes = std::array<std::uint8_t, kGroup>;

std::uint8_t nearestLevel(float value)
{
    if (value <= kIq4Levels.front())
        return 0;
    if (value >= kIq4Levels.back())
        return 15;
    const auto above = std::ranges::upper_bound(kIq4Levels, value);
    const auto below = above - 1;
    return static_cast<std::uint8_t>((value - *below < *above - value ? below : above) - kIq4Levels.begin());
}

// The scale that serves a group best: the extreme is tried at the upper end, then around the lower one.
float levelFit(Group values, const std::array<float, kGroup>& weights)
{
    const float extreme = extremeOf(values);
    if (std::fabs(extreme) < kNothing)
        return 0.0F;
    float scale = 0.0F, best = 0.0F;
    for (int attempt = -8; attempt <= 7; ++attempt) {
        const bool first = attempt == -8;
        const float inverse =
            first ? 1.0F / (-extreme / kIq4Levels[0]) : (static_cast<float>(attempt) + kIq4Levels[0]) / extreme;
        float a = 0.0F, b = 0.0F;
        for (std::size_t j = 0; j < kGroup; ++j) {
            const float level = kIq4Levels[nearestLevel(inverse * values[j])];
            a += weights[j] * level * values[j];
            b += weights[j] * level * level;
        }
        if (first ? b > 0.0F : b > 0.0F && a * a > best * b) {
            scale = a / b;
            best = scale * a;
        }
    }
    return scale;
}

void place(Group values, float scale, std::byte* nibbles)
{
    const float inverse = finiteReciprocal(scale);
    GroupCodes codes;
    for (std::size_t j = 0; j < kGroup; ++j)
        codes[j] = nearestLevel(inverse * values[j]);
    storeNibbles(nibbles, codes.data());
}

float scaleOf(Group values, const float* importance, float meanSquare)
{
    std::array<float, kGroup> weights;
    for (std::size_t j = 0; j < kGroup; ++j)
        weights[j] = importance ? importance[j] * std::sqrt(meanSquare + values[j] * values[j]) : values[j] * values[j];
    return levelFit(values, weights);
}

void encodeNonLinear(std::span<const float> values, const float* importance, std::byte* out)
{
    const float scale = scaleOf(values.first<kGroup>(), importance, sumOfSquares(values) * (2.0F / 32.0F));
    storeHalf(out, saturatedHalf(scale));
    place(values.first<kGroup>(), scale, out + 2);
}

void encodeExtraSmall(std::span<const float> values, const float* importance, std::byte* out)
{
    const float meanSquare = sumOfSquares(values) * (2.0F / 256.0F);
    std::array<float, 8> scales;
    for (std::size_t group = 0; group < 8; ++group)
        scales[group] = scaleOf(values.subspan(kGroup * group).first<kGroup>(),
            importance ? importance + kGroup * group : nullptr, meanSquare);
    const float scale = -extremeOf(scales) / 32.0F;
    const float inverse = finiteReciprocal(scale);
    storeHalf(out, saturatedHalf(scale));
    std::fill(out + 2, out + 8, std::byte {0});
    for (std::size_t group = 0; group < 8; ++group) {
        const int steps = std::clamp(nearestInteger(inverse * scales[group]), -32, 31);
        const auto stored = static_cast<unsigned>(steps + 32);
        out[2 + group / 4] |= static_cast<std::byte>(stored >> 4U << 2U * (group % 4));
        out[4 + group / 2] |= static_cast<std::byte>((stored & 0xfU) << 4U * (group % 2));
        place(values.subspan(kGroup * group).first<kGroup>(), scale * static_cast<float>(steps), out + 8 + 16 * group);
    }
}

}  // namespace

void iq4EncodeReference(GgmlBlock block, std::span<const float> rows, std::size_t columns,
    std::span<const float> importance, std::span<std::byte> out)
{
    const auto [elements, bytes] = ggmlBlockSize(block);
    std::byte* at = out.data();
    std::array<float, 256> values;
    for (std::size_t i = 0; i < rows.size(); i += elements, at += bytes) {
        std::ranges::transform(rows.subspan(i, elements), values.begin(), finiteWeight);
        const float* weights = importance.empty() ? nullptr : importance.data() + i % columns;
        if (block == GgmlBlock::Iq4Nl)
            encodeNonLinear(std::span(values).first(elements), weights, at);
        else
            encodeExtraSmall(values, weights, at);
    }
}

void iq4DecodeReference(GgmlBlock block, std::span<const std::byte> blocks, std::span<float> out)
{
    const auto [elements, bytes] = ggmlBlockSize(block);
    const std::byte* at = blocks.data();
    for (std::size_t i = 0; i < out.size(); i += elements, at += bytes) {
        const float scale = halfToFloat(loadHalf(at));
        for (std::size_t group = 0; group < elements / kGroup; ++group) {
            const bool nonLinear = block == GgmlBlock::Iq4Nl;
            GroupCodes codes;
            loadNibbles(at + (nonLinear ? 2 : 8 + 16 * group), codes.data());
            const float own = nonLinear ? scale : scale * static_cast<float>(iq4GroupScale(at, group));
            for (std::size_t j = 0; j < kGroup; ++j)
                out[i + kGroup * group + j] = own * kIq4Levels[codes[j]];
        }
    }
}

void iq4Codes(GgmlBlock block, std::span<const std::byte> blocks, std::span<std::uint32_t> out)
{
    const auto [elements, bytes] = ggmlBlockSize(block);
    const std::byte* at = blocks.data();
    for (std::size_t i = 0; i < out.size(); i += elements, at += bytes)
        for (std::size_t group = 0; group < elements / kGroup; ++group) {
            GroupCodes codes;
            loadNibbles(at + (block == GgmlBlock::Iq4Nl ? 2 : 8 + 16 * group), codes.data());
            std::ranges::copy(codes, out.begin() + static_cast<std::ptrdiff_t>(i + kGroup * group));
        }
}

}  // namespace quantloupe::kernels::ggml
