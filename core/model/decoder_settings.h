// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace quantloupe {

/// How rotary positions reach beyond the context that was trained first: config.json's rope_scaling, GGUF's
/// rope.scaling.*. Absent figures take the defaults of `type`.
struct RotaryScaling {
    /// As the file spells it: "linear", "dynamic", "yarn", "longrope", "llama3"; empty or "default": none.
    std::string type {};
    std::optional<double> factor {}, originalContext {}, attentionFactor {}, betaFast {}, betaSlow {},
        lowFrequencyFactor {}, highFrequencyFactor {}, mscale {}, mscaleAllDimensions {};
    std::vector<double> shortFactors {}, longFactors {};  ///< of longrope, one per rotated pair
    bool truncates = true;                                ///< yarn rounds the ends of its ramp to whole pairs

    bool operator==(const RotaryScaling&) const = default;
};

/// What a forward pass must know of a decoder beyond the figures of ModelConfig. Absent where the model does not say:
/// the architecture's defaults then hold.
struct DecoderSettings {
    std::string activation;  ///< "silu", "gelu_pytorch_tanh", …
    std::optional<double> normEpsilon, rotaryBase, localRotaryBase, rotaryShare, queryScale, attentionScale,
        attentionCap, outputCap;
    std::optional<std::uint64_t> rotaryDimensions, windowPattern, firstWindowedLayer, noRotaryInterval;
    std::optional<bool> normalizesExperts;  ///< weights of the chosen experts are divided by their sum
    RotaryScaling rotary {};
    std::vector<bool> windowedLayers;  ///< one per block: attends to a sliding window; empty: not said
    std::vector<bool> rotaryLayers;    ///< one per block: positions are rotated; empty: not said
    bool rotaryNeighbours = false;  ///< elements 2j and 2j + 1 of a head turn together, though names are Hugging Face's
    std::string unusual;            ///< a setting that is switched on and rarely is, by its key; empty: none

    bool operator==(const DecoderSettings&) const = default;
};

/// Reads them from the text of a config.json, of multimodal models from the text part. What has the wrong type counts
/// as missing. `where` names the file. Errors: Malformed, with the byte.
Result<DecoderSettings> parseDecoderSettings(std::string_view text, const std::string& where);

}  // namespace quantloupe
