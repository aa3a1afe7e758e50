// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/calibration/token_ranges.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

namespace quantloupe {
namespace {

/// A float's exponent and the first four bits behind its point number the bins.
constexpr unsigned kDropped = 19;

double lowerEdge(std::uint64_t bin)
{
    return std::bit_cast<float>(static_cast<std::uint32_t>(bin << kDropped));
}

}  // namespace

void TokenRanges::add(float absMax)
{
    if (absMax > 0.0F)
        count(std::bit_cast<std::uint32_t>(absMax) >> kDropped, 1);
    else
        ++zeros;
}

void TokenRanges::count(std::uint64_t bin, std::uint64_t tokens)
{
    if (counts.empty())
        firstBin = bin;
    if (bin < firstBin) {
        counts.insert(counts.begin(), static_cast<std::size_t>(firstBin - bin), 0);
        firstBin = bin;
    }
    if (bin - firstBin >= counts.size())
        counts.resize(static_cast<std::size_t>(bin - firstBin) + 1);
    counts[static_cast<std::size_t>(bin - firstBin)] += tokens;
}

std::uint64_t TokenRanges::tokens() const
{
    return std::accumulate(counts.begin(), counts.end(), zeros);
}

double TokenRanges::quantile(double q) const
{
    const double wanted = q * static_cast<double>(tokens());
    auto below = static_cast<double>(zeros);
    if (counts.empty() || wanted <= below)
        return 0.0;
    for (std::size_t i = 0; i < counts.size(); ++i) {
        const auto here = static_cast<double>(counts[i]);
        if (wanted <= below + here) {
            const double low = lowerEdge(firstBin + i), high = lowerEdge(firstBin + i + 1);
            return low + (high - low) * (wanted - below) / here;
        }
        below += here;
    }
    return lowerEdge(firstBin + counts.size());
}

TokenRanges& TokenRanges::operator+=(const TokenRanges& more)
{
    zeros += more.zeros;
    for (std::size_t i = 0; i < more.counts.size(); ++i)
        if (more.counts[i] != 0)
            count(more.firstBin + i, more.counts[i]);
    return *this;
}

}  // namespace quantloupe
