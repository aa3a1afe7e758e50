// SPDX-License-Identifier: GPL-3.0-or-later
// Products of integer activations with integer weights: exact sums of 8-bit products in 32 bits, zero points corrected
// in integers. Whatever sums the products, the bits are those of the reference.
#pragma once

#include "core/kernels/dense_algebra.h"
#include "core/kernels/integer_tiles.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace quantloupe::kernels {

/// Rows of activations, one per token: value = scale·(code − zero).
struct IntegerTokens {
    std::size_t count = 0;
    std::span<const std::int8_t> codes {};   ///< [tokens × inputs]
    std::span<const std::int32_t> zeros {};  ///< per token, −128 … 127
    std::span<const float> scales {};        ///< per token
};

/// The same as the tiles of a product read them.
struct PackedTokens {
    TileKernel tiles {};
    std::size_t count = 0;
    std::span<const std::int32_t> activations {};  ///< packedSize()
    std::span<const std::int32_t> sums {};         ///< of the codes, [tokens × groups]
    std::span<const std::int32_t> zeros {};
    std::span<const float> scales {};

    static std::size_t packedSize(std::size_t tokens, const PanelShape& shape, const TileKernel& tiles)
    {
        return tokens * tiles.tokenSize(shape);
    }
};

/// Weights in panels: value = scale·(code − zero), codes from 0 up. A group's constants lie as PanelShape says; those
/// of outputs that fill the last panel count for nothing.
struct IntegerWeights {
    PanelShape shape {};
    std::span<const std::uint8_t> panels {};
    std::span<const std::int32_t> zeros {};  ///< 0 … 255
    std::span<const std::int32_t> sums {};   ///< Σ (code − zero) over the inputs of the group
    std::span<const float> scales {};
};

/// Panels [first, first + count).
struct PanelRange {
    std::size_t first = 0, count = 0;
};

/// As many products of a code of eight bits and an activation are summed in 32 bits without overflow.
constexpr std::size_t mostProductInputs = 65'536;

/// Lays tokens out for products with weights of that shape. @pre activations.size() == packedSize(),
/// sums.size() == tokens × groups
PackedTokens packTokens(const IntegerTokens& tokens, const PanelShape& shape, const TileKernel& tiles,
    std::span<std::int32_t> activations, std::span<std::int32_t> sums);

/// result[token][output] = Σ (activation − zero)·(code − zero); the result's first column is the range's first output.
/// Sums on the way may wrap around: the result is right if it fits in 32 bits.
/// @pre one group of at most mostProductInputs; result.columns outputs end in the range's last panel
void integerProduct(
    const PackedTokens& tokens, const IntegerWeights& weights, PanelRange range, Matrix<std::int32_t> result);
void integerProductReference(
    const IntegerTokens& tokens, const IntegerWeights& weights, PanelRange range, Matrix<std::int32_t> result);

/// In real numbers, as runtimes do: s_token · Σ_groups s_weights · float(Σ (activation − zero)·(code − zero)), in
/// float, groups in order, each operation rounded by itself.
void scaledIntegerProduct(
    const PackedTokens& tokens, const IntegerWeights& weights, PanelRange range, MutableMatrix result);
void scaledIntegerProductReference(
    const IntegerTokens& tokens, const IntegerWeights& weights, PanelRange range, MutableMatrix result);

}  // namespace quantloupe::kernels
