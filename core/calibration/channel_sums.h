// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/kernels/dense_algebra.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace quantloupe {

/// What tokens were like, channel by channel: sums and extremes of activations. Mergeable.
struct ChannelSums {
    std::uint64_t tokens = 0;
    std::vector<double> sum {};      ///< Σ x
    std::vector<double> squares {};  ///< Σ x²
    std::vector<float> minimum {};   ///< infinity where there are no tokens
    std::vector<float> maximum {};   ///< −infinity where there are no tokens
    std::vector<double> absSum {};   ///< Σ |x|; of inputs only
    /// At how many tokens the channel mattered: where int8 with one scale for the token, its largest |x| / 127, does
    /// not round it to 0. Of inputs only.
    std::vector<std::uint64_t> active {};

    static ChannelSums ofInputs(std::size_t channels);
    static ChannelSums ofOutputs(std::size_t channels);

    std::size_t channels() const { return sum.size(); }
    /// Largest |x| of a channel; 0 without tokens.
    float absMax(std::size_t channel) const;
    std::vector<float> absMax() const;
    float absMaxOfAll() const;

    /// One row per token. @pre rows.columns == channels()
    void add(kernels::ConstMatrix rows);
    /// @pre the same channels and parts
    ChannelSums& operator+=(const ChannelSums& more);
    bool operator==(const ChannelSums&) const = default;
};

}  // namespace quantloupe
