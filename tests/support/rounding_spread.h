// SPDX-License-Identifier: GPL-3.0-or-later
// How far a model's figures are determined at all where its activations are rounded: a number near a tie goes one way
// or the other by the last bit of what came before, and the steps that follow from it spread through all later layers.
#pragma once

#include "core/inference/evaluate.h"
#include "tests/support/synthetic_layer.h"

#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

namespace quantloupe::tests {

/// Mean and standard deviation of what several runs came to.
struct Spread {
    double mean = 0.0, deviation = 0.0;

    /// Whether a figure may be that of one more run: within four standard deviations, which few runs tell.
    bool admits(double figure) const { return std::abs(figure - mean) < 4.0 * deviation; }
    /// Whether both are of one distribution, by the means of `runs` runs each.
    bool sameMeanAs(const Spread& other, std::size_t runs) const
    {
        return std::abs(mean - other.mean)
            < 4.0 * std::sqrt((deviation * deviation + other.deviation * other.deviation) / double(runs));
    }
};

inline Spread spreadOf(const std::vector<double>& figures)
{
    Spread spread;
    for (const double figure : figures)
        spread.mean += figure / double(figures.size());
    for (const double figure : figures)
        spread.deviation += (figure - spread.mean) * (figure - spread.mean) / double(figures.size() - 1);
    spread.deviation = std::sqrt(spread.deviation);
    return spread;
}

/// The changed model with embeddings moved by up to a hundred-thousandth, by `seed`: nothing beside a step of eight
/// bits, and enough for runs that have no rounding in common.
inline ForwardHooks nudged(ForwardHooks hooks, const Decoder& decoder, std::uint64_t seed)
{
    hooks.weights = [inner = std::move(hooks.weights), embedding = decoder.embedding, seed](
                        std::size_t tensor) -> Result<RowReplacer> {
        if (tensor != embedding)
            return inner ? inner(tensor) : Result<RowReplacer>(RowReplacer());
        return RowReplacer([seed](std::uint64_t firstRow, std::span<float> rows) {
            for (std::size_t i = 0; i < rows.size(); ++i)
                rows[i] *= 1.0F + static_cast<float>(2e-5 * (uniform(seed, firstRow * rows.size() + i) - 0.5));
        });
    };
    return hooks;
}

struct FigureSpreads {
    Spread divergence {}, perplexity {};
};

/// The model's figures in `runs` runs that differ by nudged() alone. @pre the embeddings are
/// among what the hooks leave as it is
inline Result<FigureSpreads> spreadsOf(
    const Decoder& decoder, const WindowedText& text, const ForwardHooks& hooks, std::size_t runs)
{
    std::vector<double> divergences, perplexities;
    for (std::size_t run = 0; run < runs; ++run) {
        Progress progress;
        const auto result = evaluate(decoder, text, nudged(hooks, decoder, run + 1), {}, {}, progress);
        if (!result)
            return tl::unexpected(result.error());
        divergences.push_back(result->divergence->mean);
        perplexities.push_back(result->quantized->value);
    }
    return FigureSpreads {spreadOf(divergences), spreadOf(perplexities)};
}

}  // namespace quantloupe::tests
