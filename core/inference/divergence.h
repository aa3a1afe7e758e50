// SPDX-License-Identifier: GPL-3.0-or-later
// Perplexity of a model, and how far another one's predictions are from it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace quantloupe {

/// One prediction, judged by the token that follows. Natural logarithms.
struct TokenScore {
    double negativeLogBase = 0.0, negativeLog = 0.0;  ///< −ln of the right token's probability
    double divergence = 0.0;                          ///< KL(base ‖ other) over the vocabulary
    bool agrees = true;                               ///< both find the same token likeliest
};

/// The logits of one position under two models, taken piece by piece, so that no one needs them all.
class LogitComparison
{
public:
    explicit LogitComparison(std::uint32_t target = 0)
        : m_target(target)
    {
    }

    /// Logits of tokens [firstToken, firstToken + size). @pre pieces come in order, both have the same size
    void add(std::uint32_t firstToken, std::span<const float> base, std::span<const float> other);

    TokenScore score() const;

private:
    /// A sum of exponentials of what was seen, over e^largest.
    struct Side {
        double largest = -std::numeric_limits<double>::infinity();
        double sum = 0.0;
        double target = 0.0;  ///< logit of the right token
        std::uint32_t likeliest = 0;

        double logSum() const;
    };
    static double raise(Side& side, std::uint32_t firstToken, std::span<const float> logits);

    std::uint32_t m_target;
    Side m_base, m_other;
    double m_weighted = 0.0;  ///< Σ e^(base − largest) · (base − other)
};

/// exp of the mean of negative logarithms, with the 95 % interval that its standard error gives.
struct Perplexity {
    double value = 0.0, low = 0.0, high = 0.0;
    bool operator==(const Perplexity&) const = default;
};

/// Over all predictions. Quantiles interpolate linearly between neighbours.
struct Divergence {
    double mean = 0.0, median = 0.0, p90 = 0.0, p95 = 0.0, p99 = 0.0, p999 = 0.0, max = 0.0;
    double topAgreement = 1.0;  ///< share of predictions whose likeliest token is the same
    /// Change of the right token's probability, 0 … 1: mean, and root of the mean square.
    double probabilityChangeMean = 0.0, probabilityChangeRms = 0.0;
    bool operator==(const Divergence&) const = default;
};

/// @pre at least one score
Perplexity perplexityOf(std::span<const TokenScore> scores, double TokenScore::*negativeLog);
Divergence divergenceOf(std::span<const TokenScore> scores);

}  // namespace quantloupe
