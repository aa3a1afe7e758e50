// SPDX-License-Identifier: GPL-3.0-or-later
// The loss of a text and its derivatives by every weight, by the second implementation.
#pragma once

#include "core/inference/text_windows.h"
#include "tests/core/inference/slow_forward.h"
#include "tests/core/inference/taped_number.h"

#include <cmath>
#include <map>
#include <string>
#include <vector>

namespace quantloupe::tests {

/// Σ −log p of what the windows score.
template<class Number, class Weights>
Number slowLoss(const TinyDecoder& d, const WindowedText& text, const Weights& weights)
{
    using std::exp, std::log;
    Number loss = 0.0;
    for (const auto& window : text.windows) {
        std::vector<std::uint32_t> tokens;
        for (std::size_t t = 0; t < window.length; ++t)
            tokens.push_back(text.token(window, t));
        const auto logits = SlowForwardOf<Number, Weights>(d, tokens, weights).logits();
        for (auto t = window.firstScored; t + 1 < window.length; ++t) {
            Number sum = 0.0;
            for (const auto& logit : logits[t])
                sum += exp(logit);
            loss += log(sum) - logits[t][tokens[t + 1]];
        }
    }
    return loss;
}

struct TapedDerivatives {
    double loss = 0.0;
    std::map<std::string, std::vector<double>> weights {};  ///< by tensor, in its own order
};

inline TapedDerivatives tapedDerivatives(const TinyDecoder& d, const WindowedText& text)
{
    Tape::current() = {};
    const TapedWeights weights;
    const auto loss = slowLoss<Taped>(d, text, weights);
    const auto slopes = Tape::current().derive(loss.entry);
    TapedDerivatives derivatives {.loss = loss.value};
    for (const auto& [name, tensor] : d.tensors)
        derivatives.weights[name] = weights.derivatives(tensor, slopes);
    Tape::current() = {};
    return derivatives;
}

}  // namespace quantloupe::tests
