// SPDX-License-Identifier: GPL-3.0-or-later
// The layers of a feed-forward part or of one expert. For use inside this room.
#pragma once

#include "core/inference/block.h"

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

namespace quantloupe {

struct LoadedGated {
    LoadedLayers gateUp, down;
};
Result<LoadedGated> loadGated(const BlockRun& run, const GatedLayers& layers);

/// What their replacers must know of whole calls.
struct GatedRanges {
    CallRanges gateUp {}, down {};
};

/// The inputs of the gate in a tile of tokens, which may be gathered in `buffer`.
using GateInputs = std::function<kernels::ConstMatrix(const TokenTile& tile, std::vector<float>& buffer)>;

/// Where the range of what enters `down` is needed, gate and up are computed a second time: nothing is kept of whole
/// calls.
GatedRanges measureGated(const BlockRun& run, const GatedLayers& layers, const LoadedGated& weights,
    std::span<const TokenTile> tiles, const GateInputs& inputsOf);

/// down(activation(gate) · up) of some tokens of a tile: [inputs.rows × hidden].
std::vector<float> runGated(const BlockRun& run, const GatedLayers& layers, const LoadedGated& weights,
    const GatedRanges& ranges, std::size_t call, std::size_t firstToken, kernels::ConstMatrix inputs);

}  // namespace quantloupe
