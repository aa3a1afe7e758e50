// SPDX-License-Identifier: GPL-3.0-or-later
// Finds the tensors of a decoder by their names in GGUF, whatever world the model is of. For use inside this room.
#pragma once

#include "core/inference/decoder.h"

#include <map>
#include <string>
#include <string_view>

namespace quantloupe {

/// What is missing or of the wrong shape is kept as the first error, so that a description reads as a list of layers.
class LayerFinder
{
public:
    explicit LayerFinder(const Model& model);

    const std::optional<Error>& error() const { return m_error; }
    void fail(ErrorCode code, std::string where, std::string reason);

    /// Index of "token_embd.weight" and the like.
    std::optional<std::size_t> find(const std::string& name) const;
    /// "blk.3.ffn_up_exps" of expert 7, as a layer of its own or as rows of a stack.
    std::optional<LinearLayer> findExpert(const std::string& name, unsigned expert, std::size_t experts) const;
    bool hasExperts(const std::string& name) const;

    MatrixShape shapeOf(std::size_t tensor) const;

    /// A layer by its name without ".weight"; 0 for an extent that is not known yet. Its bias comes along.
    LinearLayer linear(const std::string& name, std::size_t outputs, std::size_t inputs);
    NormLayer norm(const std::string& name, std::size_t size);
    std::optional<NormLayer> normIfThere(const std::string& name, std::size_t size);

    /// Checks a layer's extents; 0 is not checked.
    void require(const LinearLayer& layer, std::size_t outputs, std::size_t inputs);
    /// A small vector, decoded; empty when it is not there.
    std::vector<float> vector(const std::string& name);

private:
    std::optional<std::size_t> biasOf(const std::string& name, std::size_t outputs);

    const Model* m_model;
    std::map<std::string, std::size_t, std::less<>> m_tensors;
    std::map<std::pair<std::string, unsigned>, std::size_t> m_experts;
    std::optional<Error> m_error;
};

}  // namespace quantloupe
