// SPDX-License-Identifier: GPL-3.0-or-later
// Sources: Kingma & Ba, "Adam" (2015); Loshchilov & Hutter, "Decoupled weight decay regularization" (2019) and "SGDR"
// (2017; the cosine).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace quantloupe {

struct AdamSettings {
    double firstDecay = 0.9, secondDecay = 0.99, epsilon = 1e-8;
    bool operator==(const AdamSettings&) const = default;
};

/// What the optimizer remembers of some parameters.
struct AdamState {
    std::vector<float> first {}, second {};  ///< running means of the gradient and of its square

    /// parameters −= rate · (m̂ / (√v̂ + ε) + decay · parameters), `step` counting from 1.
    void update(std::span<float> parameters, std::span<const float> gradient, double rate, double decay,
        std::uint64_t step, const AdamSettings& settings);
};

/// The learning rate of step `step` (from 0) of `steps`: up linearly over `warmUp` steps, then down to 0 along a
/// cosine.
double scheduledRate(double highest, std::uint64_t step, std::uint64_t steps, std::uint64_t warmUp);

}  // namespace quantloupe
