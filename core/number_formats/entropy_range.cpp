// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/number_formats/entropy_range.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

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
// spreads each of 2^stepBits steps' sum over the bins of the step that are not empty. Infinite where Q has nothing and
// P has. logOf(count, filled) is log(count/filled), and 0 of nothing.
template<class LogOf>
double divergence(
    const Prefix& prefix, std::span<const double> counts, std::size_t cut, unsigned stepBits, const LogOf& logOf)
{
    const double total = prefix.count[entropyBins];
    const double kept = prefix.count[cut];
    const double beyond = total - kept;
    const double last = counts[cut - 1];
    if (kept <= 0.0 || (last <= 0.0 && beyond > 0.0))
        return std::numeric_limits<double>::infinity();
    const std::size_t steps = std::size_t {1} << stepBits;
    double sum = prefix.entropy[cut] - timesLog(last) + timesLog(last + beyond);
    std::size_t begin = 0;
    for (std::size_t step = 1; step <= steps; ++step) {
        const std::size_t end = (step * cut + steps - 1) >> stepBits;
        const double count = prefix.count[end] - prefix.count[begin];
        const double filled = prefix.filled[end] - prefix.filled[begin];
        sum -= (end == cut ? count + beyond : count) * logOf(count, filled);
        begin = end;
    }
    return sum / total + std::log(kept / total);
}

// Logarithms of whole numbers: counts are that where nothing is weighed.
constexpr std::size_t mostWhole = 32'768;

std::span<const double> wholeLogarithms()
{
    static const std::vector<double> logarithms = [] {
        std::vector<double> made(mostWhole + 1);
        for (std::size_t i = 1; i <= mostWhole; ++i)
            made[i] = std::log(static_cast<double>(i));
        return made;
    }();
    return logarithms;
}

bool areWhole(std::span<const double> counts, double total)
{
    return total <= static_cast<double>(mostWhole)
        && std::all_of(counts.begin(), counts.end(), [](double count) { return count == std::floor(count); });
}

// The cut of the smallest divergence, the last of equals. Where logarithms can be looked up, differences of them tell
// to about 10⁻¹² which cuts are worth the definition's own.
std::size_t closestCut(const Prefix& prefix, std::span<const double> counts, unsigned stepBits)
{
    std::array<double, entropyBins + 1> near {};
    double most = std::numeric_limits<double>::infinity();
    if (areWhole(counts, prefix.count[entropyBins])) {
        const auto difference = [logarithms = wholeLogarithms()](double count, double filled) {
            return logarithms[static_cast<std::size_t>(count)] - logarithms[static_cast<std::size_t>(filled)];
        };
        for (std::size_t cut = firstCut; cut <= entropyBins; ++cut) {
            near[cut] = divergence(prefix, counts, cut, stepBits, difference);
            most = std::min(most, near[cut] + 1e-9);
        }
    }
    const auto quotient = [](double count, double filled) { return filled > 0.0 ? std::log(count / filled) : 0.0; };
    double best = std::numeric_limits<double>::infinity();
    std::size_t found = entropyBins;
    for (std::size_t cut = entropyBins; cut >= firstCut; --cut) {
        if (near[cut] > most)
            continue;
        if (const double exact = divergence(prefix, counts, cut, stepBits, quotient); exact < best) {
            best = exact;
            found = cut;
        }
    }
    return found;
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
    const std::size_t cut = closestCut(prefix, histogram, bits - 1);
    return static_cast<float>(
        static_cast<double>(absMax) * static_cast<double>(cut) / static_cast<double>(entropyBins));
}

}  // namespace quantloupe
