// SPDX-License-Identifier: GPL-3.0-or-later
// Calibrations of small models, and the same sums a second time: token by token, number by number, in double.
#pragma once

#include "core/calibration/calibrate.h"
#include "core/calibration/layer_inputs.h"
#include "core/inference/forward.h"
#include "tests/support/text_windows.h"

#include <cmath>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace quantloupe::tests {

using GatheredInputs = std::map<std::string, GatheredInput>;

/// By key. Empty with a warning where it fails.
inline GatheredInputs gather(const Decoder& decoder, const WindowedText& text, GatheringOptions options = {},
    const CalibrationLimits& limits = {})
{
    GatheredInputs inputs;
    options.halfway = tokensOf(text) / 2;
    auto stream = ResidualStream::inMemory(std::size_t(tokensOf(text)), decoder.hidden);
    const InputSink sink = [&](GatheredInput input) -> Result<void> {
        inputs.emplace(input.figures.key(), std::move(input));
        return {};
    };
    Progress progress;
    if (const auto done = calibrate(decoder, text, options, limits, {}, stream, sink, {}, progress); !done) {
        qWarning("%s", describe(done.error()).c_str());
        return {};
    }
    if (progress.doneBytes != progress.totalBytes || progress.doneItems != progress.totalItems)
        qWarning("the progress ends elsewhere than it said");
    return inputs;
}

/// By tensor: what a text taught about its inputs, moments and sample as far as they were asked for.
inline std::map<std::string, LayerInputs> layerInputsOf(
    const Decoder& decoder, const WindowedText& text, const GatheringOptions& options = {})
{
    std::map<std::string, LayerInputs> all;
    for (const auto& [key, gathered] : gather(decoder, text, options))
        for (const auto& layer : gathered.figures.layers)
            all[layer.layer.tensor] = {.columns = gathered.figures.columns(),
                .tokens = gathered.figures.inputs.tokens,
                .secondMoments = gathered.moments.whole(),
                .sample = gathered.sample.rows()};
    return all;
}

/// All that a layer read and gave, row by row in no order.
struct SeenLayer {
    std::vector<std::vector<float>> inputs, outputs;
};

/// By the layer's name, window after window through whole forward passes.
inline std::map<std::string, SeenLayer> seenLayers(const Decoder& decoder, const WindowedText& text)
{
    std::map<std::string, SeenLayer> layers;
    std::mutex mutex;
    const auto note = [&](const LayerValues& values, std::vector<std::vector<float>> SeenLayer::*part) {
        const std::lock_guard lock(mutex);
        auto& rows = layers[nameOf(decoder, values.layer).text()].*part;
        for (std::size_t i = 0; i < values.values.rows; ++i)
            rows.emplace_back(values.values.row(i), values.values.row(i) + values.values.columns);
    };
    ForwardHooks hooks;
    hooks.beforeLayer = [&](const LayerValues& values) { note(values, &SeenLayer::inputs); };
    hooks.afterLayer = [&](const LayerValues& values) { note(values, &SeenLayer::outputs); };
    for (const auto& window : text.windows) {
        std::vector<std::uint32_t> tokens;
        for (std::size_t i = 0; i < window.length; ++i)
            tokens.push_back(text.token(window, i));
        if (!computeLogits(decoder, tokens, hooks, {}))
            return {};
    }
    return layers;
}

}  // namespace quantloupe::tests
