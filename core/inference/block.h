// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/progress_share.h"
#include "core/inference/hidden_states.h"
#include "core/inference/input_replacement.h"
#include "core/inference/weights.h"

#include <map>
#include <span>
#include <stop_token>
#include <vector>

namespace quantloupe {

/// Rotary tables of all lengths that some sequences have.
class RotaryTables
{
public:
    RotaryTables(const Decoder& decoder, const std::vector<Sequence>& sequences);

    const RotaryTable& of(bool local, std::size_t length) const;

private:
    std::map<std::size_t, RotaryTable> m_tables[2];
};

inline const InputReplacers noInputReplacers {};
inline const CacheReplacer noCacheReplacer {};
inline const NormDivisors noNormDivisors {};

/// What every block of a run is given.
struct BlockRun {
    const Decoder& decoder;
    const RotaryTables& tables;
    const Replacers& replacers;
    const LayerObserver& observer;
    std::stop_token stop;
    const InputReplacers& inputs = noInputReplacers;
    const CacheReplacer& cache = noCacheReplacer;
    const NormDivisors& divisors = noNormDivisors;
    const LayerObserver* outputObserver = nullptr;  ///< sees what linear layers give, before anything is done to it
};

/// Takes the sequences through one block, in place: attention, then feed-forward. In memory at a time are the float32
/// weights of either part, of a mixture those of one expert, and the queries, keys and values of some sequences.
/// Runs in the caller's task arena; the bits do not depend on the number of threads nor on which sequences run
/// together. Errors: Cancelled, Malformed (activations that overflow), those of loadLayers().
Result<void> runAttention(
    const BlockRun& run, const AttentionPart& part, HiddenStates& states, const ProgressShare& progress);
Result<void> runFeedForward(
    const BlockRun& run, const FeedForwardPart& part, HiddenStates& states, const ProgressShare& progress);
Result<void> runBlock(const BlockRun& run, std::size_t block, HiddenStates& states, const ProgressShare& progress);

/// Errors: Malformed (activations that overflow, naming the block).
Result<void> requireFinite(const BlockRun& run, std::size_t block, const HiddenStates& states);

/// result = inputs · weightsᵀ + bias, in pieces of outputs that take a few milliseconds each.
void project(kernels::ConstMatrix inputs, const LoadedLayers& layers, kernels::MutableMatrix result,
    const std::stop_token& stop);
/// Outputs [first, first + result.columns) alone. @pre no layer in integers lies across the ends
void projectOutputs(kernels::ConstMatrix inputs, const LoadedLayers& layers, std::size_t first,
    kernels::MutableMatrix result, const std::stop_token& stop);

/// Layers side by side that share their inputs: those from `first` on with the same replacer, or none.
struct LayersAlike {
    std::size_t first = 0, last = 0;
    std::size_t firstOutput = 0, outputs = 0;
    const InputReplacer* replacer = nullptr;
};
std::vector<LayersAlike> layersAlike(const BlockRun& run, std::span<const LinearLayer> layers);

/// Replaces a tile of inputs, one token behind the other. One that is not finite stays, so that it is noticed.
void replaceTile(const InputReplacer& replacer, const kernels::FiniteRange& range, std::span<float> rows);

/// The inputs that layers side by side have in common, for a tile of tokens.
struct TileInputs {
    std::size_t firstToken = 0;  ///< as LayerValues::firstToken
    kernels::ConstMatrix values {};
    kernels::FiniteRange range {};  ///< of the whole call, where a replacer needs it
};

/// The same as the run has it: each layer is given its replaced inputs; observers see these and the outputs.
/// @pre `loaded` are the weights of `layers`
void multiplyInputs(const BlockRun& run, std::span<const LinearLayer> layers, const LoadedLayers& loaded,
    const TileInputs& inputs, kernels::MutableMatrix result);

/// Bytes of the float32 weights that are in memory at a time, at most.
std::uint64_t workingBytes(const Decoder& decoder);

}  // namespace quantloupe
