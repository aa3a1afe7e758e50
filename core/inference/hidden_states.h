// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/zeroed_array.h"
#include "core/inference/decoder.h"
#include "core/kernels/dense_algebra.h"

#include <cstddef>
#include <functional>
#include <span>
#include <stop_token>
#include <vector>

namespace quantloupe {

/// Tokens of one text that see each other.
struct Sequence {
    std::size_t firstRow = 0, length = 0;
    std::size_t call = 0;  ///< ascending; those of one call are what a runtime computes at a time
};

/// The residual stream of several sequences, one row of `hidden` floats per token, sequence behind sequence.
struct HiddenStates {
    std::size_t hidden = 0;
    std::vector<Sequence> sequences {};
    ZeroedArray<float> values {};
    std::size_t firstToken = 0;  ///< number of row 0 among all tokens of a run that is cut into batches

    std::size_t rows() const { return hidden == 0 ? 0 : values.size() / hidden; }
    kernels::MutableMatrix matrix() { return {values.data(), rows(), hidden, hidden}; }
    kernels::ConstMatrix matrix() const { return {values.data(), rows(), hidden, hidden}; }
};

/// Fills the stream, sequence by sequence on the threads of the caller's arena. What a stop leaves is of no use.
/// @pre rows are as many as the sequences have
void fillRows(HiddenStates& states, std::span<const float> rows, const std::stop_token& stop);
HiddenStates copyOf(const HiddenStates& states, const std::stop_token& stop);

/// What goes into a linear layer, or what comes out of it.
struct LayerValues {
    const LinearLayer& layer;
    /// Number of the first token of the tile, for observers whose sums need a fixed order. Of an expert the rows are
    /// those tokens of the tile that were routed to it.
    std::size_t firstToken = 0;
    kernels::ConstMatrix values {};  ///< [tokens × layer.inputs], or [tokens × layer.outputs] with the bias added
};

/// Called before (or after) every linear layer, tile of tokens by tile, by several threads at once and in no fixed
/// order.
using LayerObserver = std::function<void(const LayerValues&)>;

/// A piece of a sequence: all tiles but a sequence's last have `tokensPerTile` tokens. The bits of a product may depend
/// on its shape; tiles depend on the sequences alone.
struct TokenTile {
    std::size_t sequence = 0;
    std::size_t firstPosition = 0, count = 0;
    std::size_t firstRow = 0;
    std::size_t call = 0;  ///< the sequence's
};
constexpr std::size_t tokensPerTile = 256;

/// Of sequences [first, last).
std::vector<TokenTile> tilesOf(const HiddenStates& states, std::size_t first, std::size_t last);
inline std::vector<TokenTile> tilesOf(const HiddenStates& states)
{
    return tilesOf(states, 0, states.sequences.size());
}

}  // namespace quantloupe
