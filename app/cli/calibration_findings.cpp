// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/calibration_findings.h"

#include "core/base/text.h"
#include "core/calibration/input_quality.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace quantloupe::cli {
namespace {

constexpr std::size_t kNamed = 5;

struct JudgedInput {
    const InputFigures* figures;
    InputQuality quality;
};

std::vector<JudgedInput> judgedInputs(const ModelCalibration& calibration, const Model& model)
{
    std::vector<std::pair<std::size_t, JudgedInput>> order;
    for (const auto& figures : calibration.inputs()) {
        const auto tensor = model.find(figures->layers.front().layer.tensor);
        order.push_back({tensor.value_or(model.tensors.size()), {figures.get(), qualityOf(*figures)}});
    }
    std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    std::vector<JudgedInput> inputs;
    for (auto& entry : order)
        inputs.push_back(entry.second);
    return inputs;
}

double smallest(const ChannelSums& sums)
{
    return *std::min_element(sums.minimum.begin(), sums.minimum.end());
}

double largest(const ChannelSums& sums)
{
    return *std::max_element(sums.maximum.begin(), sums.maximum.end());
}

double meanSquare(const ChannelSums& sums)
{
    double all = 0.0;
    for (const double square : sums.squares)
        all += square;
    return all / static_cast<double>(sums.tokens) / static_cast<double>(sums.channels());
}

Json layersJson(const InputFigures& figures)
{
    Json layers = Json::array();
    for (const auto& [layer, sums] : figures.layers)
        layers.push_back({
            {"tensor", toValidUtf8(layer.tensor)},
            {"expert", orNull(layer.expert)},
            {"output_min", sums.tokens == 0 ? Json(nullptr) : number(smallest(sums))},
            {"output_max", sums.tokens == 0 ? Json(nullptr) : number(largest(sums))},
            {"output_mean_square", sums.tokens == 0 ? Json(nullptr) : number(meanSquare(sums))},
        });
    return layers;
}

Json inputJson(const JudgedInput& input)
{
    const auto& [figures, quality] = input;
    const auto& sums = figures->inputs;
    const bool seen = sums.tokens > 0;
    const auto& ranges = figures->tokenRanges;
    return {
        {"layers", layersJson(*figures)},
        {"columns", figures->columns()},
        {"tokens", sums.tokens},
        {"min", seen ? number(smallest(sums)) : Json(nullptr)},
        {"max", seen ? number(largest(sums)) : Json(nullptr)},
        {"absmax", seen ? number(static_cast<double>(sums.absMaxOfAll())) : Json(nullptr)},
        {"mean_square", seen ? number(meanSquare(sums)) : Json(nullptr)},
        {"token_absmax",
            {{"p50", number(ranges.quantile(0.5))}, {"p90", number(ranges.quantile(0.9))},
                {"p99", number(ranges.quantile(0.99))}, {"p99_9", number(ranges.quantile(0.999))}}},
        {"earlier_tokens", figures->earlier.tokens},
        {"squares_moved", number(quality.squaresMoved)},
        {"absmax_moved", number(quality.absMaxMoved)},
        {"silent_channels", quality.silentChannels},
        {"rare_channels", quality.rareChannels},
        {"few_tokens", quality.fewTokens},
    };
}

Json textsJson(const ModelCalibration& calibration)
{
    Json texts = Json::array();
    for (const auto& text : calibration.texts)
        texts.push_back({{"name", text.name}, {"tokens", text.tokens}, {"context", text.context},
            {"moments", text.moments}, {"complete", text.complete}});
    return texts;
}

/// "a (3 %), b (2 %)": those that moved most.
std::string mostMoved(std::vector<JudgedInput> inputs)
{
    std::erase_if(inputs, [](const JudgedInput& input) { return std::isnan(input.quality.squaresMoved); });
    std::stable_sort(inputs.begin(), inputs.end(),
        [](const JudgedInput& a, const JudgedInput& b) { return a.quality.squaresMoved > b.quality.squaresMoved; });
    std::string text;
    for (std::size_t i = 0; i < std::min(kNamed, inputs.size()); ++i)
        text += (i == 0 ? "" : ", ") + inputs[i].figures->key() + " ("
            + Cell(inputs[i].quality.squaresMoved * 100.0, 2).shown + " %)";
    return text;
}

/// "a (channels 3, 8), b (channel 5)": those with channels that no token needed.
std::string withSilentChannels(const std::vector<JudgedInput>& inputs)
{
    std::string text;
    std::size_t count = 0;
    for (const auto& [figures, quality] : inputs) {
        const auto& channels = quality.silentChannels;
        if (channels.empty() || figures->inputs.tokens == 0 || ++count > kNamed)
            continue;
        text += (count == 1 ? "" : ", ") + figures->key() + (channels.size() == 1 ? " (channel " : " (channels ");
        for (std::size_t i = 0; i < std::min(kNamed, channels.size()); ++i)
            text += (i == 0 ? "" : ", ") + std::to_string(channels[i]);
        text += channels.size() > kNamed ? ", …)" : ")";
    }
    return count > kNamed ? text + " and " + std::to_string(count - kNamed) + " more" : text;
}

std::string undercovered(const std::vector<JudgedInput>& inputs)
{
    std::string text;
    std::size_t count = 0;
    for (const auto& [figures, quality] : inputs)
        if (quality.fewTokens && ++count <= kNamed)
            text += (count == 1 ? "" : ", ") + figures->key() + " (" + std::to_string(figures->inputs.tokens)
                + " tokens for " + std::to_string(figures->columns()) + " channels)";
    return count > kNamed ? text + " and " + std::to_string(count - kNamed) + " more" : text;
}

}  // namespace

Findings calibrationFindings(const ModelCalibration& calibration, const Model& model)
{
    const auto inputs = judgedInputs(calibration, model);
    Findings findings;
    findings.table = TextTable({"input of", "channels", "tokens", "min", "max", "token max p99.9", "moved, %",
        "range moved, %", "silent", "rare"});
    Json list = Json::array(), few = Json::array();
    for (const auto& input : inputs) {
        const auto& [figures, quality] = input;
        const auto& sums = figures->inputs;
        constexpr auto unknown = std::numeric_limits<double>::quiet_NaN();
        const bool seen = sums.tokens > 0;
        list.push_back(inputJson(input));
        if (quality.fewTokens)
            few.push_back(toValidUtf8(figures->key()));
        findings.table.add({figures->key(), std::uint64_t {figures->columns()}, sums.tokens,
            seen ? smallest(sums) : unknown, seen ? largest(sums) : unknown, figures->tokenRanges.quantile(0.999),
            Cell(quality.squaresMoved * 100.0, 2), Cell(quality.absMaxMoved * 100.0, 2),
            std::uint64_t {quality.silentChannels.size()}, std::uint64_t {quality.rareChannels.size()}});
    }
    findings.json = {{"texts", textsJson(calibration)}, {"tokens", calibration.tokens()}, {"inputs", std::move(list)},
        {"undercovered", std::move(few)}};
    findings.text = findings.table.text() + "\n" + std::to_string(calibration.tokens()) + " tokens of "
        + std::to_string(calibration.texts.size()) + (calibration.texts.size() == 1 ? " text" : " texts")
        + "; moved: since half of the tokens, or before the last text\n";
    if (const auto moved = mostMoved(inputs); !moved.empty())
        findings.text += "moved most: " + printable(moved) + "\n";
    if (const auto silent = withSilentChannels(inputs); !silent.empty())
        findings.text += "never active: " + printable(silent) + "\n";
    if (const auto names = undercovered(inputs); !names.empty())
        findings.text += "too few tokens: " + printable(names) + "\n";
    return findings;
}

}  // namespace quantloupe::cli
