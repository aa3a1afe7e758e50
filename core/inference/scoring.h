// SPDX-License-Identifier: GPL-3.0-or-later
// Predictions of a model judged by the text, beside those of another one.
#pragma once

#include "core/base/progress_share.h"
#include "core/inference/divergence.h"
#include "core/inference/text_windows.h"
#include "core/inference/weights.h"

#include <cstdint>
#include <span>
#include <stop_token>
#include <vector>

namespace quantloupe {

/// Which rows of a batch are scored, and by which token.
struct Predictions {
    struct Piece {
        std::size_t first = 0, count = 0;
    };
    std::vector<std::size_t> rows {};
    std::vector<std::uint32_t> targets {};
    std::vector<Piece> pieces {};  ///< worked on together: of one window each, whatever else is in the batch
};

/// Those of windows [first, last), whose tokens lie one window behind the other.
Predictions predictionsOf(const WindowedText& text, std::size_t first, std::size_t last);

/// What the output head is multiplied with, [predictions × hidden]: of the base, and of another model. No `other`: the
/// base's. `replacers`: of the head's weights in the other model.
struct HeadInputs {
    std::span<const float> base {}, other {};
    const Replacers& replacers;
};

/// All predictions against the output head, a tile of the vocabulary at a time: logits are never kept. Runs in the
/// caller's task arena. Errors: Cancelled, those of loadLayers().
Result<std::vector<TokenScore>> scorePredictions(const Decoder& decoder, const Predictions& predictions,
    const HeadInputs& inputs, std::stop_token stop, const ProgressShare& progress);

/// Bytes of the parts of the head that are in memory at a time.
std::uint64_t scoringBytes(const Decoder& decoder);

/// Whether all are numbers. Errors: Malformed, naming the model: its logits overflow.
Result<void> requireFinite(const Decoder& decoder, std::span<const TokenScore> scores);

}  // namespace quantloupe
