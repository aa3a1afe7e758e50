// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/findings.h"

#include "core/analysis/sentence_words.h"
#include "core/statistics/median.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <map>
#include <numeric>
#include <span>
#include <tuple>
#include <utility>

namespace quantloupe {

namespace {

constexpr std::size_t mostOfAKind = 12;
constexpr double heavyTail = 10.0;
constexpr double channelShare = 0.15;
constexpr double channelExcess = 5.0;
constexpr double notableDecibels = 3.0;
constexpr double similarSize = 1.05;
constexpr std::size_t fewestPeers = 4;

/// Shortest text that gives the value back.
std::string plain(double value)
{
    char text[64];
    return {text, std::to_chars(std::begin(text), std::end(text), value).ptr};
}

std::string plural(std::uint64_t count, const std::string& one, const std::string& many)
{
    return std::to_string(count) + " " + (count == 1 ? one : many);
}

/// Worst first; equals by name, so that the order never depends on a hash table.
void sortFindings(std::vector<Finding>& findings)
{
    std::stable_sort(findings.begin(), findings.end(), [](const Finding& a, const Finding& b) {
        return std::tie(b.severity, a.tensor, a.text) < std::tie(a.severity, b.tensor, b.text);
    });
}

void addWorst(std::vector<Finding> found, std::vector<Finding>& findings)
{
    sortFindings(found);
    found.resize(std::min(found.size(), mostOfAKind));
    std::move(found.begin(), found.end(), std::back_inserter(findings));
}

void findBrokenValues(const CatalogTensor& tensor, const WeightStatistics& weights, std::vector<Finding>& findings)
{
    const auto finite = weights.moments.count;
    const auto all = finite + weights.nonFinite;
    if (all == 0)
        return;
    if (weights.nonFinite != 0)
        findings.push_back({.tensor = tensor.name,
            .text = plural(weights.nonFinite, "weight", "weights") + " of " + std::to_string(all)
                + (weights.nonFinite == 1 ? " is" : " are") + " NaN or infinite, and left out of every other figure.",
            .severity = 1000.0 + static_cast<double>(weights.nonFinite) / static_cast<double>(all)});
    if (finite == 0)
        return;
    if (weights.minimum == weights.maximum && finite > 1) {
        findings.push_back({.tensor = tensor.name,
            .text = weights.absMax == 0.0 ? std::string("Every weight is zero.")
                                          : "Every weight has the same value, " + plain(weights.minimum) + ".",
            .severity = 500.0,
            .kind = FindingKind::ConstantTensor});
        return;
    }
    const auto dead = static_cast<std::uint64_t>(std::count(weights.rowAbsMax.begin(), weights.rowAbsMax.end(), 0.0F));
    if (dead != 0 && weights.nonFinite == 0)
        findings.push_back({.tensor = tensor.name,
            .text = plural(dead, "output channel", "output channels") + " of "
                + std::to_string(weights.rowAbsMax.size()) + (dead == 1 ? " is" : " are") + " all zero.",
            .severity = 2.0 + static_cast<double>(dead) / static_cast<double>(weights.rowAbsMax.size()),
            .kind = FindingKind::DeadChannels});
}

void findHeavyTails(const CatalogTensor& tensor, const WeightStatistics& weights, std::vector<Finding>& findings)
{
    const double kurtosis = weights.moments.excessKurtosis();
    if (!(kurtosis >= heavyTail))
        return;
    const double sigma = weights.moments.standardDeviation();
    const double reach = std::max(weights.maximum - weights.moments.mean(), weights.moments.mean() - weights.minimum);
    findings.push_back({.tensor = tensor.name,
        .text = "Heavy tails: excess kurtosis " + number(kurtosis, 1)
            + " where a normal distribution has 0; the outermost " + "weight lies " + number(reach / sigma, 1)
            + " σ from the mean, and " + plural(weights.beyond6Sigma, "weight lies", "weights lie") + " beyond 6 σ.",
        .severity = std::log2(kurtosis / heavyTail) + 1.0,
        .kind = FindingKind::HeavyTails});
}

/// The channels that carry far more than their part of the error.
struct LoudChannels {
    std::vector<std::size_t> indices;  ///< largest energy first
    double share = 0.0;                ///< of the whole error
};

LoudChannels loudChannels(std::span<const float> energies)
{
    LoudChannels loud;
    if (energies.size() < 10)
        return loud;
    const auto limit = limitExceeded(energies, channelExcess);
    if (!limit)
        return loud;
    const std::vector<double> values(energies.begin(), energies.end());
    const double total = std::accumulate(values.begin(), values.end(), 0.0);
    double sum = 0.0;
    for (std::size_t i = 0; i < values.size(); ++i)
        if (values[i] > *limit) {
            loud.indices.push_back(i);
            sum += values[i];
        }
    loud.share = total > 0.0 ? sum / total : 0.0;
    std::stable_sort(
        loud.indices.begin(), loud.indices.end(), [&](std::size_t a, std::size_t b) { return values[a] > values[b]; });
    if (loud.indices.size() * 10 > values.size()
        || !(loud.share >= channelShare))  // not a number where energies overflow
        loud.indices.clear();
    return loud;
}

std::string listed(const std::vector<std::size_t>& indices)
{
    constexpr std::size_t shown = 4;
    std::string text;
    for (std::size_t i = 0; i < std::min(shown, indices.size()); ++i)
        text += (i == 0 ? "" : ", ") + std::to_string(indices[i]);
    return indices.size() > shown ? text + ", …" : text;
}

/// One sentence per tensor and direction, about the scheme under which the loud channels cost most.
void findLoudChannels(
    const CatalogTensor& tensor, const SchemeMeasurements& measurements, std::vector<Finding>& findings)
{
    for (const bool input : {true, false}) {
        LoudChannels worst;
        std::string worstScheme;
        std::size_t channels = 0;
        double worstEnergy = 0.0;
        for (const auto& [name, measured] : measurements) {
            const auto& energies = input ? measured->columnErrorEnergy : measured->rowErrorEnergy;
            auto loud = loudChannels(energies);
            const double energy = loud.share * measured->error.errorEnergy;
            if (loud.indices.empty() || energy <= worstEnergy)
                continue;
            worst = std::move(loud);
            worstScheme = name;
            worstEnergy = energy;
            channels = energies.size();
        }
        if (worst.indices.empty())
            continue;
        const std::string kind = input ? "input channel" : "output channel";
        findings.push_back({.tensor = tensor.name,
            .text = plural(worst.indices.size(), kind + " carries ", kind + "s carry ") + percent(worst.share)
                + " of the error under " + worstScheme + " (" + listed(worst.indices) + "; "
                + percent(static_cast<double>(worst.indices.size()) / static_cast<double>(channels))
                + " of the channels).",
            .severity = -10.0 * std::log10(std::max(1e-6, 1.0 - worst.share)),
            .scheme = worstScheme,
            .kind = input ? FindingKind::LoudInputChannels : FindingKind::LoudOutputChannels});
    }
}

void findLowSqnr(const StudySnapshot& study, std::vector<Finding>& findings)
{
    std::map<std::pair<TensorRole, std::string>, std::vector<double>> peers;
    const auto eachSqnr = [&](const auto& visit) {
        for (const auto& tensor : study.model.tensors)
            for (const auto& [scheme, measured] : study.of(tensor.name))
                if (std::isfinite(measured->error.sqnrDb()))
                    visit(tensor, scheme, measured->error.sqnrDb());
    };
    eachSqnr([&](const CatalogTensor& tensor, const std::string& scheme, double sqnr) {
        peers[{tensor.parts.role, scheme}].push_back(sqnr);
    });
    std::map<std::pair<TensorRole, std::string>, double> medians;
    for (const auto& [key, values] : peers)
        medians[key] = median(values);

    std::map<std::string, Finding> worst;  // by tensor: one sentence each
    eachSqnr([&](const CatalogTensor& tensor, const std::string& scheme, double sqnr) {
        const auto key = std::pair(tensor.parts.role, scheme);
        const auto count = peers[key].size();
        const double gap = medians[key] - sqnr;
        if (count < fewestPeers || gap < notableDecibels || gap <= worst[tensor.name].severity)
            return;
        worst[tensor.name] = {.tensor = tensor.name,
            .text = "SQNR is " + number(sqnr, 1) + " dB under " + scheme + ", " + number(gap, 1)
                + " dB below the median of the " + std::to_string(count) + " tensors of role "
                + std::string(nameOf(tensor.parts.role)) + " (" + number(medians[key], 1) + " dB).",
            .severity = gap,
            .scheme = scheme,
            .kind = FindingKind::LowSqnr};
    });
    for (auto& [name, finding] : worst)
        if (!finding.text.empty())
            findings.push_back(std::move(finding));
}

/// What a tensor would gain by another scheme that was measured for it.
struct BetterScheme {
    const CatalogTensor* tensor = nullptr;
    double gain = 0.0;  ///< dB
    const SchemeMeasurement* from = nullptr;
    const SchemeMeasurement* to = nullptr;
};

std::string describeGain(
    const std::string& from, const std::string& to, const BetterScheme& best, std::size_t count, std::size_t of)
{
    const double bytes = static_cast<double>(best.to->storedBytes) / static_cast<double>(best.from->storedBytes) - 1.0;
    const std::string size =
        bytes == 0.0 ? "the same size" : percent(std::abs(bytes)) + (bytes > 0.0 ? " more bytes" : " fewer bytes");
    const std::string figures = number(best.to->error.sqnrDb(), 1) + " dB where " + from + " reaches "
        + number(best.from->error.sqnrDb(), 1) + " dB (+" + number(best.gain, 1) + " dB, " + size + ")";
    if (count == 1)
        return to + " reaches " + figures + ".";
    return to + " is better by 3 dB or more than " + from + " in " + std::to_string(count) + " of " + std::to_string(of)
        + " tensors, most of all here: it reaches " + figures + ".";
}

Cure measuredCure(const BetterScheme& best)
{
    const auto rows = static_cast<std::uint64_t>(best.to->rowErrorEnergy.size());
    return {.kind = CureKind::AnotherScheme,
        .scheme = best.to->scheme,
        .sqnrBefore = best.from->error.sqnrDb(),
        .sqnrAfter = best.to->error.sqnrDb(),
        .bytesBefore = best.from->storedBytes,
        .bytesAfter = best.to->storedBytes,
        .measuredRows = rows,
        .rows = rows,
        .weights = best.to->error.count + best.to->error.nonFinite};
}

void findBetterSchemes(const StudySnapshot& study, std::vector<Finding>& findings)
{
    std::map<std::pair<std::string, std::string>, std::vector<BetterScheme>> gains;
    std::map<std::pair<std::string, std::string>, std::size_t> comparable, notable;
    for (const auto& tensor : study.model.tensors) {
        const auto& measurements = study.of(tensor.name);
        for (const auto& [from, measured] : measurements) {
            BetterScheme best {.tensor = &tensor};
            std::string bestName;
            for (const auto& [to, other] : measurements) {
                ++comparable[{from, to}];
                const double gain = other->error.sqnrDb() - measured->error.sqnrDb();
                const double limit = similarSize * static_cast<double>(measured->storedBytes);
                // A lossless scheme has an infinite gain, which is no figure to print.
                if (!std::isfinite(gain) || gain < notableDecibels || static_cast<double>(other->storedBytes) > limit)
                    continue;
                ++notable[{from, to}];
                if (gain > best.gain) {
                    best = {.tensor = &tensor, .gain = gain, .from = measured.get(), .to = other.get()};
                    bestName = to;
                }
            }
            if (best.to != nullptr)
                gains[{from, bestName}].push_back(best);
        }
    }
    for (const auto& [pair, tensors] : gains) {
        const auto& best = *std::max_element(tensors.begin(), tensors.end(),
            [](const BetterScheme& a, const BetterScheme& b) { return a.gain < b.gain; });
        findings.push_back({.tensor = best.tensor->name,
            .text = describeGain(pair.first, pair.second, best, notable[pair], comparable[pair]),
            .severity = best.gain,
            .scheme = pair.first,
            .kind = FindingKind::BetterScheme,
            .cure = measuredCure(best)});
    }
}

}  // namespace

std::vector<Finding> findingsOf(const StudySnapshot& study)
{
    std::vector<Finding> findings, tails, channels, low, better;
    for (const auto& tensor : study.model.tensors) {
        if (const auto* weights = study.findWeights(tensor.name)) {
            findBrokenValues(tensor, *weights, findings);
            findHeavyTails(tensor, *weights, tails);
        }
        findLoudChannels(tensor, study.of(tensor.name), channels);
    }
    findLowSqnr(study, low);
    findBetterSchemes(study, better);
    for (auto* kind : {&tails, &channels, &low, &better})
        addWorst(std::move(*kind), findings);
    sortFindings(findings);
    return findings;
}

}  // namespace quantloupe
