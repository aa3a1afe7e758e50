// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/integer_product.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/integer_product.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>

#include "core/kernels/integer_tiles_inl.h"

// What all targets share.
#ifndef QUANTLOUPE_INTEGER_PRODUCT_COMMON
#define QUANTLOUPE_INTEGER_PRODUCT_COMMON
namespace quantloupe::kernels {
namespace {

constexpr std::size_t kOutputs = PanelShape::outputsPerPanel;

/// Sums of one group for the outputs of a panel, and what makes them right.
struct GroupSums {
    std::int32_t* sums;  ///< [tokens × outputs]
    std::size_t tokens;
    const std::int32_t* tokenSums;  ///< of the first token; the next one's is `tokenStride` behind
    std::size_t tokenStride;
    const std::int32_t* tokenZeros;
    const std::int32_t* zeros;
    const std::int32_t* weightSums;
};

}  // namespace
}  // namespace quantloupe::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Σ (a − z_a)·(w − z_w) = Σ a·w − z_w·Σ a − z_a·Σ (w − z_w), for one vector of outputs: each(token, sums).
template<class D, class Each>
HWY_INLINE void ForEachToken(D d, const GroupSums& group, std::size_t output, const Each& each)
{
    const auto zeros = hn::LoadU(d, group.zeros + output), weightSums = hn::LoadU(d, group.weightSums + output);
    const std::int32_t* sums = group.sums + output;
    const std::int32_t *tokenSums = group.tokenSums, *tokenZeros = group.tokenZeros;
    const std::size_t count = group.tokens, stride = group.tokenStride;
    for (std::size_t token = 0; token < count; ++token) {
        auto sum =
            hn::Sub(hn::LoadU(d, sums + token * kOutputs), hn::Mul(zeros, hn::Set(d, tokenSums[token * stride])));
        if (tokenZeros[token] != 0)
            sum = hn::Sub(sum, hn::Mul(weightSums, hn::Set(d, tokenZeros[token])));
        each(token, sum);
    }
}

void CorrectSums(const GroupSums& group)
{
    const hn::CappedTag<std::int32_t, kOutputs> d;
    for (std::size_t output = 0; output < kOutputs; output += hn::Lanes(d)) {
        std::int32_t* to = group.sums + output;
        ForEachToken(d, group, output, [to, d](std::size_t token, hn::Vec<decltype(d)> sum) HWY_ATTR {
            hn::StoreU(sum, d, to + token * kOutputs);
        });
    }
}

template<bool first>
HWY_INLINE void AddScaledLanes(const GroupSums& group, const float* scales, std::size_t output, float* to)
{
    const hn::CappedTag<float, kOutputs> d;
    const hn::RebindToSigned<decltype(d)> di;
    const auto scale = hn::LoadU(d, scales + output);
    ForEachToken(di, group, output, [&](std::size_t token, hn::Vec<decltype(di)> sum) HWY_ATTR {
        auto value = hn::Mul(scale, hn::ConvertTo(d, sum));
        if constexpr (!first)
            value = hn::Add(hn::LoadU(d, to + token * kOutputs), value);
        hn::StoreU(value, d, to + token * kOutputs);
    });
}

void AddScaledSums(const GroupSums& group, const float* scales, bool first, float* scaled)
{
    const hn::CappedTag<float, kOutputs> d;
    for (std::size_t output = 0; output < kOutputs; output += hn::Lanes(d))
        if (first)
            AddScaledLanes<true>(group, scales, output, scaled + output);
        else
            AddScaledLanes<false>(group, scales, output, scaled + output);
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(TilesOf);
HWY_EXPORT(CorrectSums);
HWY_EXPORT(AddScaledSums);

TileKernel tilesOfTarget(CodeWidth width)
{
    return HWY_DYNAMIC_DISPATCH(TilesOf)(width);
}

namespace {

/// A piece of a panel stays in the first-level cache while the tokens of a block meet it. As many tokens as a tile of a
/// forward pass has: the more, the less often panels are read.
constexpr std::size_t tokensPerBlock = 128;
constexpr std::size_t stepsPerPiece = 128;

using BlockSums = std::array<std::int32_t, tokensPerBlock * kOutputs>;
using BlockValues = std::array<float, tokensPerBlock * kOutputs>;

std::int32_t pairOfWords(std::int8_t low, std::int8_t high)
{
    const auto word = [](std::int8_t value) { return static_cast<std::uint32_t>(static_cast<std::uint16_t>(value)); };
    return static_cast<std::int32_t>(word(low) | word(high) << 16U);
}

/// Four activations as a tile wants them.
void putQuad(const std::int8_t* quad, bool words, std::int32_t* to)
{
    if (words) {
        to[0] = pairOfWords(quad[0], quad[2]);
        to[1] = pairOfWords(quad[1], quad[3]);
    } else {
        std::memcpy(to, quad, sizeof *to);
    }
}

/// One token of a tile of `count`, at `to`; its groups' sums.
void packToken(const std::int8_t* codes, const PanelShape& shape, bool words, std::size_t count, std::int32_t* to,
    std::int32_t* sums)
{
    constexpr auto quadLength = PanelShape::inputsPerQuad;
    const std::size_t stride = count * (words ? 2 : 1);
    for (std::size_t group = 0; group < shape.groups(); ++group) {
        const std::size_t length = shape.lengthOf(group), whole = length - length % quadLength;
        const std::size_t filled = shape.stepsOf(group) * PanelShape::inputsPerStep;
        sums[group] = std::accumulate(codes, codes + length, std::int32_t {0});
        for (std::size_t i = 0; i < whole; i += quadLength, to += stride)
            putQuad(codes + i, words, to);
        for (std::size_t i = whole; i < filled; i += quadLength, to += stride) {
            std::array<std::int8_t, quadLength> quad {};
            if (i < length)
                std::copy_n(codes + i, length - i, quad.begin());
            putQuad(quad.data(), words, to);
        }
        codes += length;
    }
}

/// Products of a block of tokens with a panel, group by group: each(group, sums).
template<class Each>
void sumGroups(const PackedTokens& tokens, const IntegerWeights& weights, std::size_t panel, std::size_t firstToken,
    std::size_t count, BlockSums& sums, const Each& each)
{
    const PanelShape& shape = weights.shape;
    const TileKernel& tiles = tokens.tiles;
    const std::size_t tokenSize = tiles.tokenSize(shape);
    const std::uint8_t* codes = weights.panels.data() + panel * shape.panelBytes();
    for (std::size_t group = 0; group < shape.groups(); ++group) {
        const std::size_t end = shape.firstStepOf(group) + shape.stepsOf(group);
        for (std::size_t step = shape.firstStepOf(group); step < end; step += stepsPerPiece)
            tiles.sum(count,
                {.panel = codes + step * shape.bytesPerStep(),
                    .activations = tokens.activations.data() + firstToken * tokenSize,
                    .tokenSize = tokenSize,
                    .firstStep = step,
                    .steps = std::min(stepsPerPiece, end - step),
                    .continues = step != shape.firstStepOf(group),
                    .sums = sums.data()});
        const std::size_t constants = shape.parameterOf(panel * kOutputs, group);
        each(group, constants,
            GroupSums {.sums = sums.data(),
                .tokens = count,
                .tokenSums = tokens.sums.data() + firstToken * shape.groups() + group,
                .tokenStride = shape.groups(),
                .tokenZeros = tokens.zeros.data() + firstToken,
                .zeros = weights.zeros.data() + constants,
                .weightSums = weights.sums.data() + constants});
    }
}

/// each(panel, its first column in the result, its columns there, first token, tokens)
template<class Each>
void forEachBlock(std::size_t tokens, std::size_t columns, PanelRange range, const Each& each)
{
    for (std::size_t token = 0; token < tokens; token += tokensPerBlock)
        for (std::size_t panel = range.first; panel < range.first + range.count; ++panel)
            each(panel, (panel - range.first) * kOutputs,
                std::min(kOutputs, columns - (panel - range.first) * kOutputs), token,
                std::min(tokensPerBlock, tokens - token));
}

}  // namespace

PackedTokens packTokens(const IntegerTokens& tokens, const PanelShape& shape, const TileKernel& tiles,
    std::span<std::int32_t> activations, std::span<std::int32_t> sums)
{
    const std::size_t tokenSize = tiles.tokenSize(shape);
    // Tiles do not straddle blocks.
    for (std::size_t block = 0; block < tokens.count; block += tokensPerBlock) {
        const std::size_t blockEnd = std::min(block + tokensPerBlock, tokens.count);
        for (std::size_t first = block; first < blockEnd; first += tiles.tokens) {
            const std::size_t count = std::min(tiles.tokens, blockEnd - first);
            for (std::size_t i = 0; i < count; ++i)
                packToken(tokens.codes.data() + (first + i) * shape.inputs, shape, tiles.words, count,
                    activations.data() + first * tokenSize + i * (tiles.words ? 2 : 1),
                    sums.data() + (first + i) * shape.groups());
        }
    }
    return {.tiles = tiles,
        .count = tokens.count,
        .activations = activations,
        .sums = sums,
        .zeros = tokens.zeros,
        .scales = tokens.scales};
}

void integerProduct(
    const PackedTokens& tokens, const IntegerWeights& weights, PanelRange range, Matrix<std::int32_t> result)
{
    BlockSums sums {};
    forEachBlock(tokens.count, result.columns, range,
        [&](std::size_t panel, std::size_t column, std::size_t outputs, std::size_t first, std::size_t count) {
            sumGroups(tokens, weights, panel, first, count, sums, [](std::size_t, std::size_t, const GroupSums& group) {
                HWY_DYNAMIC_DISPATCH(CorrectSums)(group);
            });
            for (std::size_t i = 0; i < count; ++i)
                std::copy_n(sums.data() + i * kOutputs, outputs, result.row(first + i) + column);
        });
}

void scaledIntegerProduct(
    const PackedTokens& tokens, const IntegerWeights& weights, PanelRange range, MutableMatrix result)
{
    BlockSums sums {};
    BlockValues values {};
    forEachBlock(tokens.count, result.columns, range,
        [&](std::size_t panel, std::size_t column, std::size_t outputs, std::size_t first, std::size_t count) {
            sumGroups(tokens, weights, panel, first, count, sums,
                [&](std::size_t index, std::size_t constants, const GroupSums& group) {
                    HWY_DYNAMIC_DISPATCH(AddScaledSums)
                    (group, weights.scales.data() + constants, index == 0, values.data());
                });
            for (std::size_t i = 0; i < count; ++i)
                for (std::size_t output = 0; output < outputs; ++output)
                    result.row(first + i)[column + output] = tokens.scales[first + i] * values[i * kOutputs + output];
        });
}

namespace {

/// The definition: one sum in 64 bits.
std::int64_t groupProduct(const IntegerTokens& tokens, const IntegerWeights& weights, std::size_t token,
    std::size_t output, std::size_t group)
{
    const PanelShape& shape = weights.shape;
    std::int64_t sum = 0;
    const std::size_t begin = group * shape.groupLength;
    const std::int64_t zero = weights.zeros[shape.parameterOf(output, group)];
    for (std::size_t input = begin; input < begin + shape.lengthOf(group); ++input) {
        const std::int64_t code = codeAt(weights.panels, shape, output, input);
        const std::int64_t activation = tokens.codes[token * shape.inputs + input];
        sum += (activation - tokens.zeros[token]) * (code - zero);
    }
    return sum;
}

template<class Number, class Each>
void forEachResult(const IntegerTokens& tokens, PanelRange range, Matrix<Number> result, const Each& each)
{
    for (std::size_t token = 0; token < tokens.count; ++token)
        for (std::size_t column = 0; column < result.columns; ++column)
            result.row(token)[column] = each(token, range.first * kOutputs + column);
}

}  // namespace

void integerProductReference(
    const IntegerTokens& tokens, const IntegerWeights& weights, PanelRange range, Matrix<std::int32_t> result)
{
    forEachResult(tokens, range, result, [&](std::size_t token, std::size_t output) {
        return static_cast<std::int32_t>(groupProduct(tokens, weights, token, output, 0));
    });
}

void scaledIntegerProductReference(
    const IntegerTokens& tokens, const IntegerWeights& weights, PanelRange range, MutableMatrix result)
{
    const PanelShape& shape = weights.shape;
    forEachResult(tokens, range, result, [&](std::size_t token, std::size_t output) {
        float sum = 0.0F;
        for (std::size_t group = 0; group < shape.groups(); ++group) {
            const auto product = static_cast<std::int32_t>(groupProduct(tokens, weights, token, output, group));
            const float scaled = weights.scales[shape.parameterOf(output, group)] * static_cast<float>(product);
            sum = group == 0 ? scaled : sum + scaled;
        }
        return tokens.scales[token] * sum;
    });
}

}  // namespace quantloupe::kernels
#endif
