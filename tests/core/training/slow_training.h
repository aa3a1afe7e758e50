// SPDX-License-Identifier: GPL-3.0-or-later
// A second implementation of forward pass, gradients and optimizer.
#pragma once

#include "tests/core/inference/taped_loss.h"
#include "tests/core/training/tiny_training.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace quantloupe::tests {

inline bool isTrained(const std::string& name)
{
    return name.find("embed") == std::string::npos && name.find("lm_head") == std::string::npos;
}

/// The same training: double where it can be, one scalar at a time.
class SlowTraining
{
public:
    /// `levels`: inputs of layers in blocks are rounded to −levels … levels by the largest of their token; 0: they
    /// stay.
    SlowTraining(const TinyDecoder& teacher, const WindowedText& text, Scheme scheme, bool distils, double levels = 0.0)
        : m_teacher(teacher)
        , m_text(text)
        , m_scheme(std::move(scheme))
        , m_distils(distils)
        , m_levels(levels)
    {
        for (const auto& [name, tensor] : teacher.tensors)
            if (isTrained(name))
                m_values[name] = {tensor.values.begin(), tensor.values.end()};
    }

    double step(double rate)
    {
        auto student = m_teacher;
        for (const auto& [name, values] : m_values) {
            auto& tensor = student.tensors.at(name);
            tensor.values.assign(values.begin(), values.end());
            if (tensor.shape.size() == 2)
                quantize(tensor);
        }
        Tape::current() = {};
        const TapedWeights weights;
        const auto loss = lossOf(student, weights);
        const auto slopes = Tape::current().derive(loss.entry);
        ++m_steps;
        for (auto& [name, values] : m_values) {
            const auto gradient = weights.derivatives(student.at(name), slopes);
            auto& [mean, square] = m_moments[name];
            mean.resize(values.size());
            square.resize(values.size());
            for (std::size_t i = 0; i < values.size(); ++i) {
                mean[i] = 0.9 * mean[i] + 0.1 * gradient[i];
                square[i] = 0.99 * square[i] + 0.01 * gradient[i] * gradient[i];
                const double a = mean[i] / (1.0 - std::pow(0.9, m_steps));
                const double b = square[i] / (1.0 - std::pow(0.99, m_steps));
                values[i] -= rate * a / (std::sqrt(b) + 1e-8);
            }
        }
        Tape::current() = {};
        return loss.value;
    }
    const std::vector<double>& values(const std::string& name) const { return m_values.at(name); }

private:
    void quantize(TinyTensor& tensor) const
    {
        const auto quantizer = Quantizer::create(m_scheme, tensor.shape[1]).value();
        std::vector<UnitGrid> grids(quantizer.gridCount(tensor.shape[0]));
        quantizer.fit(tensor.values, tensor.shape[0], grids);
        const auto source = tensor.values;
        quantizer.fakeQuantize(source, tensor.shape[0], grids, tensor.values);
    }

    /// One scale per token; slopes as if nothing had been rounded.
    std::vector<Taped> rounded(std::vector<Taped> row) const
    {
        double largest = 0.0;
        for (const auto& x : row)
            largest = std::max(largest, std::abs(x.value));
        const double scale = largest / m_levels;
        for (auto& x : row)
            x = Taped(std::nearbyint(x.value / scale) * scale, x, 1.0);
        return row;
    }

    /// Mean over all predictions.
    Taped lossOf(const TinyDecoder& student, const TapedWeights& weights) const
    {
        const auto predictions = double(m_text.scored());
        Taped loss = 0.0;
        for (const auto& window : m_text.windows) {
            const auto begin = m_text.tokens.begin() + std::ptrdiff_t(window.begin);
            const std::vector<std::uint32_t> tokens(begin, begin + std::ptrdiff_t(window.length));
            const auto taught = SlowForward(m_teacher, tokens).logits();
            SlowForwardOf<Taped, TapedWeights> pass(student, tokens, weights);
            pass.replaceInput = [this](std::vector<Taped> row, const std::string& name) {
                return m_levels > 0.0 && isTrained(name) ? rounded(std::move(row)) : row;
            };
            const auto logits = pass.logits();
            for (std::size_t t = 0; t + 1 < tokens.size(); ++t) {
                double all = 0.0;
                Taped own = 0.0;
                for (std::size_t v = 0; v < kVocabulary; ++v) {
                    all += std::exp(taught[t][v]);
                    own += exp(logits[t][v]);
                }
                if (!m_distils) {
                    loss += log(own) - logits[t][tokens[t + 1]];
                    continue;
                }
                for (std::size_t v = 0; v < kVocabulary; ++v) {
                    const double p = std::exp(taught[t][v]) / all;
                    loss += p * (std::log(p) - logits[t][v] + log(own));
                }
            }
        }
        return loss / predictions;
    }

    const TinyDecoder& m_teacher;
    const WindowedText& m_text;
    Scheme m_scheme;
    bool m_distils;
    double m_levels;
    double m_steps = 0.0;
    std::map<std::string, std::vector<double>> m_values;
    std::map<std::string, std::pair<std::vector<double>, std::vector<double>>> m_moments;
};

}  // namespace quantloupe::tests
