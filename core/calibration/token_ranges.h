// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace quantloupe {

/// How large tokens get: the distribution of each token's largest |x|, which is what a scale per token follows.
/// Counted in bins of equal ratio, sixteen to a factor of two, so that merging is exact and a quantile is within 2 %.
struct TokenRanges {
    std::uint64_t zeros = 0;               ///< tokens that are zero throughout
    std::uint64_t firstBin = 0;            ///< number of the first bin below
    std::vector<std::uint64_t> counts {};  ///< first and last not 0

    /// @pre 0 ≤ absMax, finite
    void add(float absMax);
    std::uint64_t tokens() const;
    /// Size that a share q of all tokens does not exceed; 0 without tokens.
    double quantile(double q) const;
    TokenRanges& operator+=(const TokenRanges& more);
    bool operator==(const TokenRanges&) const = default;

private:
    void count(std::uint64_t bin, std::uint64_t tokens);
};

}  // namespace quantloupe
