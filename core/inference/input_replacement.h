// SPDX-License-Identifier: GPL-3.0-or-later
// What runtimes that quantize activations do to the inputs of linear layers and to keys and values on their way into
// the cache.
#pragma once

#include "core/base/error.h"
#include "core/inference/hidden_states.h"
#include "core/kernels/ranges.h"

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <stop_token>
#include <vector>

namespace quantloupe {

/// Replaces the inputs of linear layers, in place.
struct InputReplacer {
    /// Whether `replace` must know the range of everything that a runtime computes in one call (Sequence::call): all of
    /// the layer's inputs; of an expert, those of the tokens that were routed to it.
    bool needsRange = false;
    /// Whole rows of a layer's inputs, one token behind the other. Called by several threads at once, with any number
    /// of rows; what becomes of a row must not depend on which come with it, but for `range`.
    std::function<void(std::span<float> rows, const kernels::FiniteRange& range)> replace {};
    /// Which gradients do not go straight through: those by inputs beyond the ends of a range that clips become 0, in
    /// place. `rows` are as `replace` is given them. Empty: all go through.
    std::function<void(std::span<const float> rows, const kernels::FiniteRange& range, std::span<float> gradient)>
        clip {};
};

/// Asked for once each time a layer's tensor (an index into Model::tensors) is about to be read; null leaves the inputs
/// as they are. Layers side by side that get one and the same replacer share the inputs that it makes.
using InputHook = std::function<Result<std::shared_ptr<const InputReplacer>>(std::size_t tensor)>;

/// Replacers of some tensors, by index; without those whose inputs stay.
using InputReplacers = std::map<std::size_t, std::shared_ptr<const InputReplacer>>;

/// Replaces keys (after their rotation) or values as they enter the cache, in place: heads of headDimension numbers,
/// one behind the other, of any number of tokens. As InputReplacer::replace: every head of every token by itself.
using CacheReplacer = std::function<void(std::span<float> heads)>;
/// Asked for once in a run. An empty replacer leaves the cache as it is.
using CacheHook = std::function<Result<CacheReplacer>(std::size_t headDimension)>;

/// Replaces the columns of some tokens' heads. @pre columns are a multiple of headDimension
void replaceHeads(const CacheReplacer& replacer, kernels::MutableMatrix heads);

/// Range of a layer's inputs in each call. Empty where nobody needs it.
using CallRanges = std::vector<kernels::FiniteRange>;

/// Whether one of these layers' replacers must know it.
bool needsRange(const InputReplacers& replacers, std::span<const LinearLayer> layers);

/// So that it holds the other, or all of the rows, too.
void widen(kernels::FiniteRange& range, const kernels::FiniteRange& other);
void widen(kernels::FiniteRange& range, kernels::ConstMatrix rows);

/// Takes the ranges of what `inputsOf` gives for each tile, which may work in `buffer`. Runs in the caller's arena.
CallRanges measureRanges(std::span<const TokenTile> tiles, const std::stop_token& stop,
    const std::function<kernels::ConstMatrix(const TokenTile& tile, std::vector<float>& buffer)>& inputsOf);

/// The range that a tile's replacer is given.
inline kernels::FiniteRange rangeIn(const CallRanges& ranges, std::size_t call)
{
    return ranges.empty() ? kernels::FiniteRange() : ranges[call];
}

}  // namespace quantloupe
