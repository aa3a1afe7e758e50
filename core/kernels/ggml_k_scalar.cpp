// SPDX-License-Identifier: GPL-3.0-or-later
// The k-quants one weight at a time: the definition that the vector code is held against.
#include "core/kernels/ggml_k_blocks.h"
#include "core/kernels/ggml_k_layout.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

namespace quantloupe::kernels {
namespace {

using namespace ggml;

using Values = std::span<const float, kSuperBlock>;
using Codes = std::array<std::uint8_t, kSuperBlock>;

/// How much each weight's error counts where the caller gives importance.
std::array<float, kSuperBlock> importanceWeights(GgmlBlock block, Values values, const float* importance)
{
    std::array<float, kSuperBlock> weights {};
    const float sum = sumOfSquares(values);
    const float sigma = (block == GgmlBlock::Q2_K ? sum : 2.0F * sum) / 256.0F;
    for (std::size_t i = 0; i < kSuperBlock; ++i)
        weights[i] =
            block == GgmlBlock::Q6_K ? importance[i] : importance[i] * std::sqrt(sigma + values[i] * values[i]);
    return weights;
}

/// And where not, in one group; Q3_K and Q6_K weigh by x² by themselves.
void plainWeights(GgmlBlock block, std::span<const float> values, std::span<float> weights)
{
    const float level =
        block == GgmlBlock::Q2_K ? 0.0F : std::sqrt(sumOfSquares(values) / static_cast<float>(values.size()));
    for (std::size_t i = 0; i < values.size(); ++i)
        weights[i] = block == GgmlBlock::Q2_K ? std::fabs(values[i]) : level + std::fabs(values[i]);
}

float sumOf(std::span<const float> values)
{
    float sum = 0.0F;
    for (const float value : values)
        sum += value;
    return sum;
}

/// Scales of Q3_K and Q6_K, the extreme to the lowest code. False where there is nothing to scale: Q3_K then stores
/// scale bytes of 0, which mean −32, Q6_K a block of zeros.
bool spreadSignedScales(GgmlBlock block, std::span<const float> values, SmallScales& scales)
{
    const bool six = block == GgmlBlock::Q6_K;
    const float extreme = extremeOf(values);
    if (six ? std::fabs(extreme) < kNothing : extreme == 0.0F) {
        std::memset(scales.scale, six ? 0 : -32, sizeof scales.scale);
        return false;
    }
    const float inverse = (six ? -128.0F : -32.0F) / extreme;
    for (std::size_t g = 0; g < values.size(); ++g) {
        const int code = nearestInteger(inverse * values[g]);
        scales.scale[g] = static_cast<std::int8_t>(
            six ? std::min(127, code) : std::clamp<int>(static_cast<std::int8_t>(code), -32, 31));
    }
    scales.d = saturatedHalf(1.0F / inverse);
    return true;
}

/// The codes that belong to the scales as they are stored; groups of scale 0 keep those of the search.
void finalCodes(GgmlBlock block, const SmallScales& scales, Values values, std::size_t length, Codes& codes)
{
    const float d = halfToFloat(scales.d), dmin = halfToFloat(scales.dmin);
    const bool affine = isAffine(block);
    const int levels = block == GgmlBlock::Q3_K ? 4 : 32;
    for (std::size_t i = 0; i < kSuperBlock; ++i) {
        const std::size_t group = i / length;
        const float scale = d * static_cast<float>(scales.scale[group]);
        if (scale == 0.0F)
            continue;
        const float minimum = dmin * static_cast<float>(scales.minimum[group]);
        const int code = nearestInteger(affine ? (values[i] + minimum) / scale : values[i] / scale);
        codes[i] = static_cast<std::uint8_t>(affine ? std::clamp(code, 0, affineFormat(block).highestCode)
                                                    : std::clamp(code, -levels, levels - 1) + levels);
    }
}

SmallScales affineScales(GgmlBlock block, Values values, const float* importance, Codes& codes)
{
    const AffineFormat format = affineFormat(block);
    const std::size_t length = format.groupLength, groups = kSuperBlock / length;
    std::array<float, kSuperBlock> weights {};
    if (importance)
        weights = importanceWeights(block, values, importance);
    float scale[16], depth[16], sums[16];
    for (std::size_t g = 0; g < groups; ++g) {
        const auto group = values.subspan(g * length, length);
        const auto weight = std::span(weights).subspan(g * length, length);
        if (!importance)
            plainWeights(block, group, weight);
        sums[g] = sumOf(weight);
        const AffineGrid grid = affineFit(group, weight, format.highestCode,
            importance ? AffineSearch {} : format.plain, std::span(codes).subspan(g * length, length));
        scale[g] = grid.scale;
        depth[g] = grid.depth;
    }
    SmallScales result;
    const std::span scaleValues(scale, groups), depthValues(depth, groups);
    if (!importance) {
        result.d = spreadScales(scaleValues, format.highestScale, result.scale);
        result.dmin = spreadScales(depthValues, format.highestScale, result.minimum);
        return result;
    }
    std::uint8_t scaleCodes[16];
    const std::span sumValues(sums, groups);
    result.d = saturatedHalf(positiveFit(scaleValues, sumValues, format.highestScale, scaleCodes));
    result.dmin = saturatedHalf(positiveFit(depthValues, sumValues, format.highestScale, result.minimum));
    for (std::size_t g = 0; g < groups; ++g)
        result.scale[g] = static_cast<std::int8_t>(scaleCodes[g]);
    return result;
}

/// False: all bytes of the block are zero.
bool signedScales(GgmlBlock block, Values values, const float* importance, SmallScales& result, Codes& codes)
{
    const bool six = block == GgmlBlock::Q6_K;
    std::array<float, kSuperBlock> weights {};
    if (importance)
        weights = importanceWeights(block, values, importance);
    float scale[16], sums[16];
    for (std::size_t g = 0; g < 16; ++g) {
        const auto group = values.subspan(g * 16, 16);
        const auto groupCodes = std::span(codes).subspan(g * 16, 16);
        const std::span<const float> weight(weights.data() + g * 16, importance ? 16U : 0U);
        sums[g] = sumOf(weight);
        scale[g] = six || importance ? signedFit(group, weight, six ? 32 : 4, groupCodes)
                                     : descendingFit(group, 4, groupCodes);
    }
    if (six || !importance)
        return spreadSignedScales(block, scale, result) || !six;
    std::uint8_t scaleCodes[16];
    result.d = saturatedHalf(signedFit(scale, sums, 32, scaleCodes));
    for (std::size_t g = 0; g < 16; ++g)
        result.scale[g] = static_cast<std::int8_t>(scaleCodes[g] - 32);
    return true;
}

void storeCodes(GgmlBlock block, const Codes& codes, std::uint8_t* out)
{
    const BlockLayout layout = layoutOf(block);
    std::uint8_t* low = out + layout.low;
    std::uint8_t* high = out + layout.high;
    const auto put = [](std::uint8_t& byte, unsigned bits, std::size_t shift) {
        byte = static_cast<std::uint8_t>(byte | bits << shift);
    };
    for (std::size_t j = 0; j < kSuperBlock; ++j) {
        const unsigned code = codes[j];
        const std::size_t half = j / 128, quarter = j % 128 / 32, l = j % 32;
        switch (block) {
        case GgmlBlock::Q2_K: put(low[32 * half + l], code, 2 * quarter); break;
        case GgmlBlock::Q3_K:
            put(low[32 * half + l], code & 3U, 2 * quarter);
            put(high[l], code >> 2U, j / 32);
            break;
        case GgmlBlock::Q4_K: put(low[j / 64 * 32 + l], code, j / 32 % 2 * 4); break;
        case GgmlBlock::Q5_K:
            put(low[j / 64 * 32 + l], code & 15U, j / 32 % 2 * 4);
            put(high[l], code >> 4U, j / 32);
            break;
        default:
            put(low[64 * half + 32 * (quarter % 2) + l], code & 15U, quarter / 2 * 4);
            put(high[32 * half + l], code >> 4U, 2 * quarter);
        }
    }
}

}  // namespace

void ggmlEncodeKReference(GgmlBlock block, std::span<const float> rows, std::size_t columns,
    std::span<const float> importance, std::span<std::byte> out)
{
    const std::size_t bytes = ggmlBlockSize(block).bytes;
    auto* target = reinterpret_cast<std::uint8_t*>(out.data());
    std::array<float, kSuperBlock> values {};
    for (std::size_t start = 0; start < rows.size(); start += kSuperBlock, target += bytes) {
        std::transform(rows.begin() + std::ptrdiff_t(start), rows.begin() + std::ptrdiff_t(start + kSuperBlock),
            values.begin(), finiteWeight);
        const float* weights = importance.empty() ? nullptr : importance.data() + start % columns;
        Codes codes {};
        SmallScales scales;
        std::memset(target, 0, bytes);
        if (isAffine(block))
            scales = affineScales(block, values, weights, codes);
        else if (!signedScales(block, values, weights, scales, codes))
            continue;
        finalCodes(block, scales, values, isAffine(block) ? affineFormat(block).groupLength : 16, codes);
        storeScales(block, scales, target);
        storeCodes(block, codes, target);
    }
}

void ggmlCodesK(GgmlBlock block, std::span<const std::byte> blocks, std::span<std::uint32_t> out)
{
    const std::size_t bytes = ggmlBlockSize(block).bytes;
    const BlockLayout layout = layoutOf(block);
    const auto* source = reinterpret_cast<const std::uint8_t*>(blocks.data());
    for (std::size_t i = 0; i < out.size(); ++i) {
        const std::uint8_t* low = source + i / kSuperBlock * bytes + layout.low;
        const std::uint8_t* high = source + i / kSuperBlock * bytes + layout.high;
        const std::size_t j = i % kSuperBlock, half = j / 128, quarter = j % 128 / 32, l = j % 32;
        switch (block) {
        case GgmlBlock::Q2_K: out[i] = unsigned(low[32 * half + l]) >> 2 * quarter & 3U; break;
        case GgmlBlock::Q3_K:
            out[i] = (unsigned(low[32 * half + l]) >> 2 * quarter & 3U) | (unsigned(high[l]) >> j / 32 & 1U) << 2U;
            break;
        case GgmlBlock::Q4_K: out[i] = unsigned(low[j / 64 * 32 + l]) >> j / 32 % 2 * 4 & 15U; break;
        case GgmlBlock::Q5_K:
            out[i] =
                (unsigned(low[j / 64 * 32 + l]) >> j / 32 % 2 * 4 & 15U) | (unsigned(high[l]) >> j / 32 & 1U) << 4U;
            break;
        default:
            out[i] = (unsigned(low[64 * half + 32 * (quarter % 2) + l]) >> quarter / 2 * 4 & 15U)
                | (unsigned(high[32 * half + l]) >> 2 * quarter & 3U) << 4U;
        }
    }
}

void ggmlDecodeKReference(GgmlBlock block, std::span<const std::byte> blocks, std::span<float> out)
{
    const std::size_t bytes = ggmlBlockSize(block).bytes;
    const auto* source = reinterpret_cast<const std::uint8_t*>(blocks.data());
    const std::size_t length = isAffine(block) ? affineFormat(block).groupLength : 16;
    const int zero = block == GgmlBlock::Q3_K ? 4 : block == GgmlBlock::Q6_K ? 32 : 0;
    std::uint32_t codes[kSuperBlock];
    for (std::size_t start = 0; start < out.size(); start += kSuperBlock, source += bytes) {
        ggmlCodesK(block, {reinterpret_cast<const std::byte*>(source), bytes}, codes);
        const SmallScales scales = loadScales(block, source);
        const float d = halfToFloat(scales.d), dmin = halfToFloat(scales.dmin);
        for (std::size_t i = 0; i < kSuperBlock; ++i) {
            const std::size_t group = i / length;
            const float scale = d * static_cast<float>(scales.scale[group]);
            const float value = scale * static_cast<float>(static_cast<int>(codes[i]) - zero);
            out[start + i] = isAffine(block) ? value - dmin * static_cast<float>(scales.minimum[group]) : value;
        }
    }
}

}  // namespace quantloupe::kernels
