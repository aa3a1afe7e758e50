// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/gguf_decoder_settings.h"

#include "core/base/text.h"

#include <cmath>

namespace quantloupe {

DecoderSettings decoderSettingsOf(const GgufHeader& header, const std::string& architecture)
{
    const auto value = [&](std::string_view name) { return header.find(architecture + "." + std::string(name)); };
    const auto number = [&](std::string_view name) {
        const auto* found = value(name);
        return found ? realNumber(*found) : std::nullopt;
    };
    const auto whole = [&](std::string_view name) {
        const auto* found = value(name);
        return found ? wholeNumber(*found) : std::nullopt;
    };

    DecoderSettings settings;
    settings.normEpsilon = number("attention.layer_norm_rms_epsilon");
    if (!settings.normEpsilon)
        settings.normEpsilon = number("attention.layer_norm_epsilon");
    settings.rotaryBase = number("rope.freq_base");
    settings.localRotaryBase = number("rope.freq_base_swa");
    settings.rotaryDimensions = whole("rope.dimension_count");
    settings.attentionScale = number("attention.scale");
    settings.attentionCap = number("attn_logit_softcapping");
    settings.outputCap = number("final_logit_softcapping");
    settings.windowPattern = whole("attention.sliding_window_pattern");

    auto& rotary = settings.rotary;
    if (const auto* type = value("rope.scaling.type"); type && textOf(*type) && *textOf(*type) != "none")
        rotary.type = shortened(*textOf(*type), 60);
    rotary.factor = number("rope.scaling.factor");
    if (const auto linear = number("rope.scale_linear"); linear && rotary.type.empty()) {  // of older files
        rotary.type = "linear";
        rotary.factor = linear;
    }
    rotary.originalContext = number("rope.scaling.original_context_length");
    rotary.betaFast = number("rope.scaling.yarn_beta_fast");
    rotary.betaSlow = number("rope.scaling.yarn_beta_slow");
    rotary.attentionFactor = number("rope.scaling.attn_factor");
    // There a factor of its own, multiplied with the one that follows from the scaling.
    if (rotary.type == "yarn" && rotary.attentionFactor && rotary.factor.value_or(0.0) > 1.0)
        rotary.attentionFactor = *rotary.attentionFactor * (0.1 * std::log(*rotary.factor) + 1.0);
    return settings;
}

}  // namespace quantloupe
