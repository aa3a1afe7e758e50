// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/number_formats/entropy_range.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace quantloupe {
namespace {

constexpr std::size_t firstCut = 128;

// Sums over the bins before an index.
struct Prefix {
    std::array<double, entropyBins + 1> count {};    ///< Σ h
    std::array<double, entropyBins + 1> entropy {};  ///< Σ h·log h
    std::array<double, entropyBins + 1> filled {};   ///< bins that hold something
};

double timesLog(double x)
{
    return x > 0.0 ? x * std::log(x) : 0.0;
}

// Σ p·log(p/q) + log(ΣQ) − log(ΣP), both times ΣP: P is the histogram up to the cut with the rest in its last bin, Q
// spreads each step's sum over the bins of the step that are not empty. Infinite where Q has nothing and P has.
double divergence(const Prefix& prefix, std::span<const double> counts, std::size_t cut, std::size_t steps)
{
    const double total = prefix.count[entropyBins];
    const double kept = prefix.count[cut];
    const double beyond = total - kept;
    const double last = counts[cut - 1];
    if (kept <= 0.0 || (last <= 0.0 && beyond > 0.0))
        return std::numeric_limits<double>::infinity();
    double sum = prefix.entropy[cut] - timesLog(last) + timesLog(last + beyond);
    for (std::size_t step = 0; step < steps; ++step) {
        const std::size_t begin = (step * cut + steps - 1) / steps;
        const std::size_t end = ((step + 1) * cut + steps - 1) / steps;
        const double count = prefix.count[end] - prefix.count[begin];
        const double filled = prefix.filled[end] - prefix.filled[begin];
        if (filled > 0.0)
            sum -= (end == cut ? count + beyond : count) * std::log(count / filled);
    }
    return sum / total + std::log(kept / total);
}

}  // namespace

void countSizes(std::span<const float> values, std::span<const float> weights, float absMax, std::span<double> counts)
{
    const double perBin = static_cast<double>(entropyBins) / static_cast<double>(absMax);
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (!std::isfinite(values[i]))
            continue;
        const double place = static_cast<double>(std::abs(values[i])) * perBin;
        const auto bin = std::min(static_cast<std::size_t>(place), entropyBins - 1);
        counts[bin] += weights.empty() ? 1.0 : static_cast<double>(weights[i]);
    }
}

float entropyThreshold(std::span<const double> counts, float absMax, unsigned bits)
{
    std::array<double, entropyBins> histogram {};
    std::copy(counts.begin(), counts.end(), histogram.begin());
    histogram[0] = histogram[1];
    Prefix prefix;
    for (std::size_t i = 0; i < entropyBins; ++i) {
        prefix.count[i + 1] = prefix.count[i] + histogram[i];
        prefix.entropy[i + 1] = prefix.entropy[i] + timesLog(histogram[i]);
        prefix.filled[i + 1] = prefix.filled[i] + (histogram[i] > 0.0 ? 1.0 : 0.0);
    }
    const std::size_t steps = std::size_t {1} << (bits - 1);
    double best = std::numeric_limits<double>::infinity();
    std::size_t bestCut = entropyBins;
    for (std::size_t cut = entropyBins; cut >= firstCut; --cut)
        if (const double found = divergence(prefix, histogram, cut, steps); found < best) {
            best = found;
            bestCut = cut;
        }
    return static_cast<float>(
        static_cast<double>(absMax) * static_cast<double>(bestCut) / static_cast<double>(entropyBins));
}

}  // namespace quantloupe
