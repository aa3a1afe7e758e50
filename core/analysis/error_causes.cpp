// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/error_causes.h"

#include "core/analysis/sentence_words.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <span>
#include <utility>

namespace quantloupe {
namespace {

/// A share counts as standing out where it is so many times what an even spread would give, and no trifle.
constexpr double outstanding = 3.0, trifle = 0.05;

double sumOf(std::span<const double> energies)
{
    return std::accumulate(energies.begin(), energies.end(), 0.0);
}

OutlierShare shareOf(std::span<const double> energies, std::span<const std::uint32_t> channels)
{
    double part = 0.0;
    for (const auto channel : channels)
        if (channel < energies.size())
            part += energies[channel];
    const double all = sumOf(energies);
    return {channels.size(), energies.size(), all > 0.0 ? part / all : 0.0};
}

/// The one of a hundred channels with most error.
OutlierShare loudest(std::span<const double> energies)
{
    if (energies.empty())
        return {};
    std::vector<double> sorted(energies.begin(), energies.end());
    const auto count = std::max<std::size_t>(1, energies.size() / 100);
    std::partial_sort(
        sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(count), sorted.end(), std::greater<>());
    const double part = sumOf(std::span(sorted).first(count)), all = sumOf(energies);
    return {count, energies.size(), all > 0.0 ? part / all : 0.0};
}

std::vector<double> inDouble(std::span<const float> values)
{
    return {values.begin(), values.end()};
}

bool standsOut(const OutlierShare& share)
{
    return share.channels > 0 && share.share >= trifle
        && share.share >= outstanding * static_cast<double>(share.channels) / static_cast<double>(share.of);
}

std::string sentenceOf(const OutlierShare& share, const std::string& which, const std::string& what)
{
    return std::to_string(share.channels) + " of " + std::to_string(share.of) + " " + which + " "
        + (share.channels == 1 ? "carries " : "carry ") + percent(share.share) + " of " + what + ".";
}

}  // namespace

ErrorCauses causesOf(const LayerInspection& inspection, const WeightStatistics& weights, const InputFigures* inputs)
{
    const auto& measured = inspection.measurement;
    const auto rows = inDouble(measured.rowErrorEnergy), columns = inDouble(measured.columnErrorEnergy);
    ErrorCauses causes;
    if (const auto& split = inspection.split; split && split->rounding + split->clipping > 0.0)
        causes.clipping = split->clipping / (split->rounding + split->clipping);
    causes.loudestRows = loudest(rows);
    causes.loudestColumns = loudest(columns);
    if (!inspection.topGroups.empty() && measured.error.errorEnergy > 0.0)
        causes.loudestGroup = {1, inspection.groups, inspection.topGroups.front().energy / measured.error.errorEnergy};
    causes.weightRows = shareOf(rows, weights.outlierRows);
    causes.weightColumns = shareOf(columns, weights.outlierColumns);
    if (inputs != nullptr && inputs->columns() == columns.size() && inputs->inputs.tokens > 0) {
        auto reaching = columns;
        for (std::size_t j = 0; j < reaching.size(); ++j)
            reaching[j] *= inputs->inputs.squares[j] / static_cast<double>(inputs->inputs.tokens);
        causes.activations = shareOf(reaching, outliersAmong(inputs->inputs.absMax()));
    }
    return causes;
}

std::vector<std::string> ErrorCauses::sentences() const
{
    std::vector<std::pair<double, std::string>> found;
    if (clipping && *clipping >= trifle)
        found.emplace_back(*clipping, percent(*clipping) + " of the error is clipping: the range is too small.");
    const auto tell = [&](const OutlierShare& share, const std::string& which, const std::string& what) {
        if (standsOut(share))
            found.emplace_back(share.share, sentenceOf(share, which, what));
    };
    tell(weightColumns, "input channels with outlier weights", "the error");
    tell(weightRows, "output channels with outlier weights", "the error");
    if (!standsOut(weightColumns))
        tell(loudestColumns, "input channels", "the error");
    if (!standsOut(weightRows))
        tell(loudestRows, "output channels", "the error");
    if (standsOut(loudestGroup))
        found.emplace_back(
            loudestGroup.share, "One group of weights carries " + percent(loudestGroup.share) + " of the error.");
    if (activations)
        tell(*activations, "input channels with outlier activations", "the error that reaches the outputs");
    std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
    std::vector<std::string> sentences;
    for (auto& [share, sentence] : found)
        sentences.push_back(std::move(sentence));
    if (sentences.empty())
        sentences.emplace_back("The error is spread evenly over channels and groups, and is rounding: only finer steps "
                               "or more bits help.");
    return sentences;
}

}  // namespace quantloupe
