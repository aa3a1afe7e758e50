// SPDX-License-Identifier: GPL-3.0-or-later
// A model as the list of operations that its forward pass is made of.
#pragma once

#include "core/base/error.h"
#include "core/inference/architectures.h"
#include "core/inference/rotary.h"
#include "core/model/model.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace quantloupe {

/// A linear layer: rows [firstRow, firstRow + outputs) of a tensor seen as a matrix [out × in]. Fused tensors (q, k and
/// v in one, gate and up in one) are one layer with all their outputs; of a stack of experts each is a layer.
struct LinearLayer {
    std::size_t tensor = 0;  ///< index into Model::tensors; its name is the layer's
    std::uint64_t firstRow = 0;
    std::size_t outputs = 0, inputs = 0;
    std::optional<std::size_t> bias {};  ///< a tensor of one value per output
};

/// Layers with the same input, whose outputs are laid side by side in this order: q, k, v; or gate, up.
using JoinedLayers = std::vector<LinearLayer>;

struct NormLayer {
    std::size_t tensor = 0;
    std::optional<std::size_t> bias {};
};

/// x += output(attention(rotate(norm(q)), rotate(norm(k)), v)), of norm(x).
struct AttentionPart {
    NormLayer norm;
    JoinedLayers queryKeyValue;
    LinearLayer output;
    std::optional<NormLayer> queryNorm, keyNorm;  ///< of each head
    std::optional<NormLayer> outputNorm;
    bool rotates = true;
    bool local = false;        ///< takes the rotary base of blocks with a window
    std::uint64_t window = 0;  ///< a query sees itself and window − 1 keys before it; 0: all
};

/// down(activation(gate(h)) · up(h)), or down(activation(up(h))) where there is no gate.
struct GatedLayers {
    JoinedLayers gateUp;
    LinearLayer down;
};

/// x += feedForward(norm(x)).
struct FeedForwardPart {
    NormLayer norm;
    std::optional<GatedLayers> dense;       ///< of a mixture: the shared expert, which every token goes through
    std::optional<LinearLayer> sharedGate;  ///< [1 × hidden]: the shared expert counts by its sigmoid
    std::optional<LinearLayer> router;      ///< [experts × hidden]; absent: no mixture
    std::vector<GatedLayers> experts;
    std::optional<NormLayer> outputNorm;
};

struct DecoderBlock {
    AttentionPart attention;
    FeedForwardPart feedForward;
};

/// Resolved against the tensors of a model and checked: every layer has the shape that the others need. A value that
/// borrows the model.
struct Decoder {
    const Model* model = nullptr;
    Architecture architecture {};
    Activation activation = Activation::Silu;
    bool gated = true;
    std::size_t hidden = 0, vocabulary = 0, heads = 0, keyValueHeads = 0, headDimension = 0;
    std::size_t maxContext = 0;  ///< of learned positions; 0: no limit
    double normEpsilon = 0.0;
    float attentionScale = 0.0F;
    float attentionCap = 0.0F, outputCap = 0.0F;  ///< soft caps; 0: none
    float embeddingScale = 1.0F;
    std::size_t expertsPerToken = 0;
    bool normalizesExperts = false;
    Rotary rotary {}, localRotary {};
    bool integerFunctions = false;  ///< of attention and norms: setIntegerFunctions()

    std::size_t embedding = 0;
    std::optional<std::size_t> positions {};
    std::vector<DecoderBlock> blocks {};
    NormLayer outputNorm {};
    LinearLayer head {};  ///< the embedding's tensor where tied

    std::size_t queryColumns() const { return heads * headDimension; }
    std::size_t keyColumns() const { return keyValueHeads * headDimension; }
};

/// Whether softmax of attention and every norm are computed in integers (kernels/integer_functions.h).
void setIntegerFunctions(Decoder& decoder, bool integers);

/// Finds out how `model` computes. Errors: Unsupported (the architecture, a rotary scaling, an activation or another
/// setting that is not built, by name), Malformed (a tensor is missing or has another shape than its neighbours need,
/// by name), CannotOpen (what computes products is not there).
Result<Decoder> describeDecoder(const Model& model);

/// Every tensor that a block reads as a weight matrix, in the order of the operations.
std::vector<std::size_t> matricesOf(const DecoderBlock& block);

}  // namespace quantloupe
