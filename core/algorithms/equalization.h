// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/model/catalog.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace quantloupe {

/// Two weight matrices between which factors can move without changing the model: the producer's output channel i may
/// be divided by what the consumer's input channels that read it are multiplied by.
struct EqualizationPair {
    std::size_t producer = 0, consumer = 0;  ///< indices into ModelCatalog::tensors
    std::size_t channels = 0;                ///< output channels of the producer
    /// Grouped-query attention: each value head is read by this many query heads in a row, of headDimension columns
    /// each. 1: the consumer's columns are the producer's rows.
    std::size_t readers = 1;
    std::size_t headDimension = 1;  ///< looked at where readers > 1

    /// The producer's channel that a column of the consumer reads.
    std::size_t channelOf(std::size_t column) const;
    bool operator==(const EqualizationPair&) const = default;
};

/// All exact pairs of a model, in the order of their producers:
/// up → down where the block (or the expert) has a gate, whose activation the factor passes by;
/// v → o, with the heads of grouped-query attention.
/// None where something not linear stands between, as far as names tell: no gate (GPT-2's GELU), a norm between them
/// (BitNet). None for fused qkv and gate_up matrices and for stacks of experts, which would need factors for parts.
std::vector<EqualizationPair> equalizationPairs(const ModelCatalog& model);

/// The pair a tensor belongs to. No tensor belongs to two.
std::optional<EqualizationPair> equalizationPairOf(std::span<const EqualizationPair> pairs, std::size_t tensor);

/// What rows of the producer and columns of the consumer are multiplied by before they are quantized.
struct EqualizationFactors {
    std::vector<float> producerRows, consumerColumns;
};

/// Factors after which each channel's range is the same on both sides, √(r₁r₂): S = √(r₁/r₂), rows · 1/S, columns · S.
/// r₁ is the row's largest |w|, r₂ the largest of the columns that read it. 1 where either is 0; held within 2^±60.
/// Source: Nagel et al. 2019, arXiv 1906.04721; one pass suffices, as no tensor is in two pairs.
/// @pre one maximum per row of the producer and per column of the consumer, finite (WeightStatistics has both)
EqualizationFactors equalizationFactors(const EqualizationPair& pair, std::span<const float> producerRowAbsMax,
    std::span<const float> consumerColumnAbsMax);

}  // namespace quantloupe
