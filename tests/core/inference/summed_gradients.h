// SPDX-License-Identifier: GPL-3.0-or-later
// All that a backward pass gives, summed up by tensor as the checkpoint stores it.
#pragma once

#include "core/inference/backward.h"

#include <cmath>
#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace quantloupe::tests {

class SummedGradients
{
public:
    explicit SummedGradients(const Decoder& decoder)
        : m_decoder(decoder)
    {
    }

    void add(const PartGradients& part)
    {
        for (const auto& sequence : part.sequences) {
            for (const auto& layer : sequence.layers)
                addLayer(layer);
            for (const auto& norm : sequence.norms) {
                addVector(norm.norm.tensor, norm.weight);
                if (norm.norm.bias)
                    addVector(*norm.norm.bias, norm.bias);
            }
        }
    }

    /// Of embedding and positions.
    void add(const HiddenStates& embedded, const WindowedText& text)
    {
        auto& table = of(m_decoder.embedding);
        for (std::size_t i = 0; i < embedded.sequences.size(); ++i)
            for (std::size_t t = 0; t < embedded.sequences[i].length; ++t) {
                const auto* row = embedded.matrix().row(embedded.sequences[i].firstRow + t);
                const auto token = text.token(text.windows[i], t);
                for (std::size_t c = 0; c < embedded.hidden; ++c) {
                    table[token * embedded.hidden + c] += double(row[c]) * double(m_decoder.embeddingScale);
                    if (m_decoder.positions)
                        of(*m_decoder.positions)[t * embedded.hidden + c] += double(row[c]);
                }
            }
    }

    std::vector<double>& of(std::size_t tensor)
    {
        const auto& stored = m_decoder.model->tensors[tensor];
        auto& sums = m_sums[stored.name];
        sums.resize(stored.view.elements());
        return sums;
    }
    const std::map<std::string, std::vector<double>>& sums() const { return m_sums; }

private:
    void addLayer(const LayerGradient& gradient)
    {
        const auto& layer = gradient.layer;
        std::vector<float> weights(layer.outputs * layer.inputs);
        addWeightGradient(gradient, 0, {weights.data(), layer.outputs, layer.inputs, layer.inputs});
        auto& sums = of(layer.tensor);
        const bool transposed = m_decoder.model->tensors[layer.tensor].view.transposed;
        for (std::size_t o = 0; o < layer.outputs; ++o)
            for (std::size_t i = 0; i < layer.inputs; ++i)
                sums[transposed ? i * layer.outputs + o : (layer.firstRow + o) * layer.inputs + i] +=
                    double(weights[o * layer.inputs + i]);
        if (layer.bias)
            for (std::size_t t = 0; t < gradient.outputs.rows; ++t)
                for (std::size_t o = 0; o < layer.outputs; ++o)
                    of(*layer.bias)[o] += double(gradient.outputs.row(t)[o]);
    }
    void addVector(std::size_t tensor, const std::vector<double>& values)
    {
        auto& sums = of(tensor);
        for (std::size_t i = 0; i < values.size(); ++i)
            sums[i] += values[i];
    }

    const Decoder& m_decoder;
    std::map<std::string, std::vector<double>> m_sums;
};

}  // namespace quantloupe::tests
