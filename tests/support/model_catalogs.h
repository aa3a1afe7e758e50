// SPDX-License-Identifier: GPL-3.0-or-later
// Catalogs of small models that look like the real families: names, shapes and configuration, no weights.
#pragma once

#include "core/model/catalog.h"
#include "core/schemes/scheme.h"

#include <string>
#include <utility>

namespace quantloupe::tests {

inline void addTensor(ModelCatalog& model, std::string name, Shape shape, bool transposed = false)
{
    CatalogTensor tensor;
    tensor.parts = readName(name);
    tensor.name = std::move(name);
    tensor.dtype = DType::BF16;
    const auto rank = shape.size();
    tensor.matrix = {1, shape.empty() ? 1 : shape.back()};
    for (std::size_t i = 0; i + 1 < rank; ++i)
        tensor.matrix.rows *= shape[i];
    if (transposed)
        std::swap(tensor.matrix.rows, tensor.matrix.columns);
    tensor.shape = std::move(shape);
    tensor.bytes = tensor.parameters() * 2;
    const auto role = tensor.parts.role;
    tensor.quantizable =
        rank >= 2 && role != TensorRole::Norm && role != TensorRole::Bias && role != TensorRole::Position;
    model.tensors.push_back(std::move(tensor));
}

struct LlamaShape {
    std::uint64_t blocks = 2, hidden = 64, intermediate = 172, heads = 8, keyValueHeads = 4, vocabulary = 512;
    bool tied = true;
};

inline ModelCatalog emptyCatalog(std::string architecture, const LlamaShape& shape)
{
    ModelCatalog model;
    model.fingerprint = "0123456789abcdef0123456789abcdef";
    model.format = "safetensors";
    model.config.architecture = std::move(architecture);
    model.config.hiddenSize = shape.hidden;
    model.config.layers = shape.blocks;
    model.config.heads = shape.heads;
    model.config.keyValueHeads = shape.keyValueHeads;
    model.config.headDimension = shape.hidden / shape.heads;
    model.config.intermediateSize = shape.intermediate;
    model.config.vocabulary = shape.vocabulary;
    model.config.contextLength = 2048;
    model.config.tiedEmbeddings = shape.tied;
    return model;
}

inline void addAttention(ModelCatalog& model, const std::string& prefix, const LlamaShape& shape)
{
    const auto keys = shape.hidden / shape.heads * shape.keyValueHeads;
    addTensor(model, prefix + "self_attn.q_proj.weight", {shape.hidden, shape.hidden});
    addTensor(model, prefix + "self_attn.k_proj.weight", {keys, shape.hidden});
    addTensor(model, prefix + "self_attn.v_proj.weight", {keys, shape.hidden});
    addTensor(model, prefix + "self_attn.o_proj.weight", {shape.hidden, shape.hidden});
}

/// Llama; with `biases` as Qwen2 has them on q, k and v.
inline ModelCatalog llama(const LlamaShape& shape = {}, bool biases = false)
{
    auto model = emptyCatalog(biases ? "qwen2" : "llama", shape);
    addTensor(model, "model.embed_tokens.weight", {shape.vocabulary, shape.hidden});
    for (std::uint64_t block = 0; block < shape.blocks; ++block) {
        const auto prefix = "model.layers." + std::to_string(block) + ".";
        addTensor(model, prefix + "input_layernorm.weight", {shape.hidden});
        addAttention(model, prefix, shape);
        if (biases)
            addTensor(model, prefix + "self_attn.q_proj.bias", {shape.hidden});
        addTensor(model, prefix + "post_attention_layernorm.weight", {shape.hidden});
        addTensor(model, prefix + "mlp.gate_proj.weight", {shape.intermediate, shape.hidden});
        addTensor(model, prefix + "mlp.up_proj.weight", {shape.intermediate, shape.hidden});
        addTensor(model, prefix + "mlp.down_proj.weight", {shape.hidden, shape.intermediate});
    }
    addTensor(model, "model.norm.weight", {shape.hidden});
    if (!shape.tied)
        addTensor(model, "lm_head.weight", {shape.vocabulary, shape.hidden});
    return model;
}

inline ModelCatalog mixtral(std::uint64_t experts = 4, LlamaShape shape = {})
{
    shape.tied = false;
    auto model = emptyCatalog("mixtral", shape);
    model.config.experts = experts;
    model.config.expertsPerToken = 2;
    addTensor(model, "model.embed_tokens.weight", {shape.vocabulary, shape.hidden});
    for (std::uint64_t block = 0; block < shape.blocks; ++block) {
        const auto prefix = "model.layers." + std::to_string(block) + ".";
        addTensor(model, prefix + "input_layernorm.weight", {shape.hidden});
        addAttention(model, prefix, shape);
        addTensor(model, prefix + "post_attention_layernorm.weight", {shape.hidden});
        addTensor(model, prefix + "block_sparse_moe.gate.weight", {experts, shape.hidden});
        for (std::uint64_t expert = 0; expert < experts; ++expert) {
            const auto start = prefix + "block_sparse_moe.experts." + std::to_string(expert) + ".";
            addTensor(model, start + "w1.weight", {shape.intermediate, shape.hidden});
            addTensor(model, start + "w2.weight", {shape.hidden, shape.intermediate});
            addTensor(model, start + "w3.weight", {shape.intermediate, shape.hidden});
        }
    }
    addTensor(model, "model.norm.weight", {shape.hidden});
    addTensor(model, "lm_head.weight", {shape.vocabulary, shape.hidden});
    return model;
}

inline ModelCatalog gpt2(LlamaShape shape = {})
{
    shape.keyValueHeads = shape.heads;
    shape.intermediate = 4 * shape.hidden;
    auto model = emptyCatalog("gpt2", shape);
    addTensor(model, "wte.weight", {shape.vocabulary, shape.hidden});
    addTensor(model, "wpe.weight", {256, shape.hidden});
    for (std::uint64_t block = 0; block < shape.blocks; ++block) {
        const auto prefix = "h." + std::to_string(block) + ".";
        addTensor(model, prefix + "ln_1.weight", {shape.hidden});
        addTensor(model, prefix + "ln_1.bias", {shape.hidden});
        addTensor(model, prefix + "attn.c_attn.weight", {shape.hidden, 3 * shape.hidden}, true);
        addTensor(model, prefix + "attn.c_attn.bias", {3 * shape.hidden});
        addTensor(model, prefix + "attn.c_proj.weight", {shape.hidden, shape.hidden}, true);
        addTensor(model, prefix + "ln_2.weight", {shape.hidden});
        addTensor(model, prefix + "mlp.c_fc.weight", {shape.hidden, shape.intermediate}, true);
        addTensor(model, prefix + "mlp.c_proj.weight", {shape.intermediate, shape.hidden}, true);
    }
    addTensor(model, "ln_f.weight", {shape.hidden});
    return model;
}

/// Llama under GGUF names; with experts as stacks.
inline ModelCatalog gguf(const LlamaShape& shape = {}, std::uint64_t experts = 0)
{
    auto model = emptyCatalog("llama", shape);
    model.format = "gguf";
    model.naming = NamingWorld::Gguf;
    const auto keys = shape.hidden / shape.heads * shape.keyValueHeads;
    addTensor(model, "token_embd.weight", {shape.vocabulary, shape.hidden});
    for (std::uint64_t block = 0; block < shape.blocks; ++block) {
        const auto prefix = "blk." + std::to_string(block) + ".";
        addTensor(model, prefix + "attn_norm.weight", {shape.hidden});
        addTensor(model, prefix + "attn_q.weight", {shape.hidden, shape.hidden});
        addTensor(model, prefix + "attn_k.weight", {keys, shape.hidden});
        addTensor(model, prefix + "attn_v.weight", {keys, shape.hidden});
        addTensor(model, prefix + "attn_output.weight", {shape.hidden, shape.hidden});
        addTensor(model, prefix + "ffn_norm.weight", {shape.hidden});
        if (experts > 0) {
            model.config.experts = experts;
            model.config.expertsPerToken = 2;
            addTensor(model, prefix + "ffn_gate_inp.weight", {experts, shape.hidden});
            addTensor(model, prefix + "ffn_gate_exps.weight", {experts, shape.intermediate, shape.hidden});
            addTensor(model, prefix + "ffn_up_exps.weight", {experts, shape.intermediate, shape.hidden});
            addTensor(model, prefix + "ffn_down_exps.weight", {experts, shape.hidden, shape.intermediate});
        } else {
            addTensor(model, prefix + "ffn_gate.weight", {shape.intermediate, shape.hidden});
            addTensor(model, prefix + "ffn_up.weight", {shape.intermediate, shape.hidden});
            addTensor(model, prefix + "ffn_down.weight", {shape.hidden, shape.intermediate});
        }
    }
    addTensor(model, "output_norm.weight", {shape.hidden});
    if (!shape.tied)
        addTensor(model, "output.weight", {shape.vocabulary, shape.hidden});
    return model;
}

/// A scheme that the test knows to be valid.
inline Scheme scheme(std::string_view text)
{
    return Scheme::parse(text).value();
}

}  // namespace quantloupe::tests
