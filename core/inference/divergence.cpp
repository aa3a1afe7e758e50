// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/inference/divergence.h"

#include <algorithm>
#include <cmath>

namespace quantloupe {
namespace {

double quantile(const std::vector<double>& sorted, double share)
{
    const double at = share * static_cast<double>(sorted.size() - 1);
    const auto below = static_cast<std::size_t>(at);
    const auto above = std::min(below + 1, sorted.size() - 1);
    return sorted[below] + (at - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

}  // namespace

double LogitComparison::Side::logSum() const
{
    return largest + std::log(sum);
}

/// Takes notice of a new largest logit; the factor by which sums so far shrink.
double LogitComparison::raise(Side& side, std::uint32_t firstToken, std::span<const float> logits)
{
    const auto found = std::max_element(logits.begin(), logits.end());
    const auto largest = static_cast<double>(*found);
    if (!(largest > side.largest))
        return 1.0;
    const double shrink = std::exp(side.largest - largest);  // 0 for the first piece
    side.largest = largest;
    side.likeliest = firstToken + static_cast<std::uint32_t>(found - logits.begin());
    return shrink;
}

void LogitComparison::add(std::uint32_t firstToken, std::span<const float> base, std::span<const float> other)
{
    const double shrink = raise(m_base, firstToken, base);
    m_base.sum *= shrink;
    m_weighted *= shrink;
    m_other.sum *= raise(m_other, firstToken, other);
    for (std::size_t i = 0; i < base.size(); ++i) {
        const auto baseLogit = static_cast<double>(base[i]);
        const auto otherLogit = static_cast<double>(other[i]);
        const double weight = std::exp(baseLogit - m_base.largest);
        m_base.sum += weight;
        m_weighted += weight * (baseLogit - otherLogit);
        m_other.sum += std::exp(otherLogit - m_other.largest);
    }
    if (m_target >= firstToken && m_target - firstToken < base.size()) {
        m_base.target = static_cast<double>(base[m_target - firstToken]);
        m_other.target = static_cast<double>(other[m_target - firstToken]);
    }
}

TokenScore LogitComparison::score() const
{
    const double logBase = m_base.logSum();
    const double logOther = m_other.logSum();
    return {.negativeLogBase = logBase - m_base.target,
        .negativeLog = logOther - m_other.target,
        .divergence = std::max(0.0, m_weighted / m_base.sum - logBase + logOther),
        .agrees = m_base.likeliest == m_other.likeliest};
}

Perplexity perplexityOf(std::span<const TokenScore> scores, double TokenScore::*negativeLog)
{
    const auto count = static_cast<double>(scores.size());
    double sum = 0.0;
    for (const auto& score : scores)
        sum += score.*negativeLog;
    const double mean = sum / count;
    double squares = 0.0;
    for (const auto& score : scores)
        squares += (score.*negativeLog - mean) * (score.*negativeLog - mean);
    const double error = scores.size() < 2 ? 0.0 : std::sqrt(squares / (count - 1.0) / count);
    constexpr double deviations = 1.959963984540054;  // of a normal distribution, 95 % lie within
    return {std::exp(mean), std::exp(mean - deviations * error), std::exp(mean + deviations * error)};
}

Divergence divergenceOf(std::span<const TokenScore> scores)
{
    std::vector<double> sorted;
    sorted.reserve(scores.size());
    double sum = 0.0;
    double changes = 0.0;
    double squares = 0.0;
    std::size_t agreeing = 0;
    for (const auto& score : scores) {
        sorted.push_back(score.divergence);
        sum += score.divergence;
        const double change = std::exp(-score.negativeLog) - std::exp(-score.negativeLogBase);
        changes += change;
        squares += change * change;
        agreeing += score.agrees ? 1 : 0;
    }
    std::sort(sorted.begin(), sorted.end());
    const auto count = static_cast<double>(scores.size());
    return {.mean = sum / count,
        .median = quantile(sorted, 0.5),
        .p90 = quantile(sorted, 0.9),
        .p95 = quantile(sorted, 0.95),
        .p99 = quantile(sorted, 0.99),
        .p999 = quantile(sorted, 0.999),
        .max = sorted.back(),
        .topAgreement = static_cast<double>(agreeing) / count,
        .probabilityChangeMean = changes / count,
        .probabilityChangeRms = std::sqrt(squares / count)};
}

}  // namespace quantloupe
