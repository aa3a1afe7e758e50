// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/progress_share.h"
#include "core/calibration/gathered_input.h"
#include "core/calibration/shared_inputs.h"
#include "core/inference/hidden_states.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace quantloupe {

/// What a run keeps of each token.
struct GatheringOptions {
    bool moments = true;
    std::size_t sampleTokens = 512;  ///< of each input; 0: none
    std::uint64_t firstNumber = 0;   ///< of the text's first token among those of all texts, so that samples can merge
    std::uint64_t halfway = 0;       ///< tokens of the text that make the earlier figures
};

/// Gathers what goes into the layers of one block while batches of sequences go through it, and what comes out. The
/// observers copy; fold() then sums up, tile by tile in the order of the tokens, each square of the moments by one
/// thread: the bits depend neither on the number of threads nor on how the sequences are cut into batches.
class InputGatherer
{
public:
    /// Inputs whose keys are among `known` are not gathered.
    InputGatherer(const Decoder& decoder, const std::vector<SharedInput>& inputs, const GatheringOptions& options,
        const std::set<std::string>& known);

    /// Before a batch goes through the block.
    void expect(const HiddenStates& states);
    /// For any thread, as LayerObserver has it.
    void observeInputs(const LayerValues& values);
    void observeOutputs(const LayerValues& values);
    /// After the batch. Runs in the caller's task arena. Errors: Cancelled.
    Result<void> fold(const std::stop_token& stop, const ProgressShare& progress);
    /// Of all batches.
    std::vector<GatheredInput> take() { return std::move(m_gathered); }

    /// Bytes that the moments and samples of these inputs take, and what each token of a batch takes beside them.
    static std::uint64_t fixedBytes(const std::vector<SharedInput>& inputs, const GatheringOptions& options);
    static std::uint64_t bytesPerToken(const std::vector<SharedInput>& inputs);

private:
    /// What a tile of tokens gave for one input.
    struct Slot {
        std::vector<float> rows;
        ChannelSums sums;
        std::vector<float> tokenAbsMax;
        std::vector<ChannelSums> outputs;  ///< by layer
    };
    struct Place {
        std::size_t input = 0, layer = 0;
    };

    const Place* placeOf(const LinearLayer& layer) const;
    Slot& slotOf(const Place& place, std::size_t firstToken);
    void foldFigures(std::size_t input, const std::stop_token& stop);
    void foldSquare(std::size_t input, const MomentSquare& square, const std::stop_token& stop);

    GatheringOptions m_options;
    std::map<std::pair<std::size_t, std::uint64_t>, Place> m_places;  ///< by tensor and first row
    std::vector<GatheredInput> m_gathered;
    std::vector<std::uint8_t> m_passedHalf;  ///< of each input, written by the thread that folds it
    std::size_t m_firstToken = 0;
    std::vector<TokenTile> m_tiles;
    std::vector<std::vector<Slot>> m_slots;  ///< by input, then by tile
};

}  // namespace quantloupe
