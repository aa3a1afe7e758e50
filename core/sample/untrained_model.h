// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/model/model.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace quantloupe {

/// The figures of a Llama: all that its config.json says.
struct LlamaFigures {
    std::size_t hidden = 128, inner = 384, blocks = 5, heads = 4, keyValueHeads = 2, vocabulary = 768, context = 256;
    std::size_t firstToken = 767;  ///< begins every text

    std::string configJson() const;
};

/// A Llama with random weights in memory, float32, its output head tied to its embedding.
///
/// Matrices are drawn with a deviation of 0.7 / √inputs, those that write to the residual stream with 1 / √(2 · blocks)
/// of it, and the embedding with 0.05; norms are 1. Output projections of attention begin near the transpose of what
/// makes its values, so that a head says what it looks at. Source: Radford et al., "Language models are unsupervised
/// multitask learners" (2019), for the scaled residual layers. The same bits everywhere.
class UntrainedModel
{
public:
    /// Errors: those of parseModelConfig(), which there are none of for sensible figures.
    static Result<UntrainedModel> create(const LlamaFigures& figures, std::uint64_t seed);
    UntrainedModel(UntrainedModel&&) = default;
    UntrainedModel& operator=(UntrainedModel&&) = default;

    /// Its views borrow this object's memory.
    const Model& model() const { return m_model; }

private:
    UntrainedModel() = default;

    Model m_model {};
    std::deque<std::vector<float>> m_values {};
};

/// The bytes of a safetensors file of this model's tensors, in its order, each rounded to bfloat16. `provenance` is
/// kept in its metadata. @pre every tensor is float32 in memory, and finite
std::string brainFloatSafetensors(const Model& model, const std::string& provenance);

}  // namespace quantloupe
