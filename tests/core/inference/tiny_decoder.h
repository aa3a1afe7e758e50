// SPDX-License-Identifier: GPL-3.0-or-later
// Small decoders of random weights, written as checkpoints.
#pragma once

#include "core/file_formats/file_format.h"

#include <nlohmann/json.hpp>

#include <QTemporaryDir>

#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace quantloupe::tests {

struct TinyTensor {
    std::vector<std::size_t> shape;
    std::vector<float> values;
};

/// What a decoder of the test computes. The checkpoint's config.json says the same in the family's own words.
struct TinyDecoder {
    std::string type = "llama", norm = "rms", activation = "silu";
    std::size_t hidden = 32, heads = 4, keyValueHeads = 2, head = 8, inner = 48, layers = 2, vocabulary = 61;
    std::size_t experts = 0, perToken = 0, turned = 8;
    double epsilon = 1e-5, base = 10'000.0, localBase = 0.0, attentionScale = 0.0, attentionCap = 0.0, outputCap = 0.0,
           embeddingScale = 1.0;
    bool biases = false, headNorms = false, outputNorms = false, fused = false, gpt2 = false, tied = true,
         normalizes = true, shared = false;
    std::vector<std::size_t> windows {0, 0};  ///< per block; 0: all
    std::vector<bool> local {false, false}, rotates {true, true};
    nlohmann::ordered_json config = nlohmann::ordered_json::object();  ///< what is said beyond the figures
    std::map<std::string, TinyTensor> tensors {};

    const TinyTensor& at(const std::string& name) const { return tensors.at(name); }
};

class TinyWeights
{
public:
    explicit TinyWeights(TinyDecoder& decoder)
        : m_decoder(decoder)
    {
    }
    void add(const std::string& name, std::vector<std::size_t> shape, double deviation, double mean = 0.0)
    {
        std::normal_distribution<double> normal(mean, deviation);
        const auto count = std::accumulate(shape.begin(), shape.end(), std::size_t {1}, std::multiplies<>());
        TinyTensor tensor {std::move(shape), std::vector<float>(count)};
        for (auto& value : tensor.values)
            value = float(normal(m_random));
        m_decoder.tensors[name] = std::move(tensor);
    }
    void linear(const std::string& name, std::size_t outputs, std::size_t inputs)
    {
        const bool transposed = m_decoder.gpt2;
        add(name + ".weight",
            transposed ? std::vector<std::size_t> {inputs, outputs} : std::vector<std::size_t> {outputs, inputs}, 0.25);
        if (m_decoder.biases || m_decoder.gpt2)
            add(name + ".bias", {outputs}, 0.2);
    }
    void normLayer(const std::string& name, std::size_t size)
    {
        add(name + ".weight", {size}, 0.2, m_decoder.norm == "plus one" ? 0.0 : 1.0);
        if (m_decoder.gpt2)
            add(name + ".bias", {size}, 0.2);
    }

private:
    TinyDecoder& m_decoder;
    std::mt19937 m_random {7};
};

inline void fillExperts(const TinyDecoder& d, TinyWeights& weights, const std::string& prefix)
{
    const bool mixtral = d.type == "mixtral";
    const auto mlp = prefix + (mixtral ? "block_sparse_moe." : "mlp.");
    weights.linear(mlp + "gate", d.experts, d.hidden);
    for (std::size_t expert = 0; expert < d.experts; ++expert) {
        const auto start = mlp + "experts." + std::to_string(expert) + ".";
        weights.linear(start + (mixtral ? "w1" : "gate_proj"), d.inner, d.hidden);
        weights.linear(start + (mixtral ? "w3" : "up_proj"), d.inner, d.hidden);
        weights.linear(start + (mixtral ? "w2" : "down_proj"), d.hidden, d.inner);
    }
    if (!d.shared)
        return;
    weights.linear(mlp + "shared_expert.gate_proj", d.inner + 8, d.hidden);
    weights.linear(mlp + "shared_expert.up_proj", d.inner + 8, d.hidden);
    weights.linear(mlp + "shared_expert.down_proj", d.hidden, d.inner + 8);
    weights.linear(mlp + "shared_expert_gate", 1, d.hidden);
}

inline void fillTiny(TinyDecoder& d)
{
    TinyWeights weights(d);
    const auto queries = d.heads * d.head, keys = d.keyValueHeads * d.head;
    weights.add(d.gpt2 ? "wte.weight" : "model.embed_tokens.weight", {d.vocabulary, d.hidden}, 0.5);
    if (d.gpt2)
        weights.add("wpe.weight", {300, d.hidden}, 0.3);
    for (std::size_t i = 0; i < d.layers; ++i) {
        const auto at = (d.gpt2 ? "h." : "model.layers.") + std::to_string(i) + ".";
        if (d.gpt2) {
            weights.normLayer(at + "ln_1", d.hidden);
            weights.linear(at + "attn.c_attn", 3 * d.hidden, d.hidden);
            weights.linear(at + "attn.c_proj", d.hidden, d.hidden);
            weights.normLayer(at + "ln_2", d.hidden);
            weights.linear(at + "mlp.c_fc", d.inner, d.hidden);
            weights.linear(at + "mlp.c_proj", d.hidden, d.inner);
            continue;
        }
        weights.normLayer(at + "input_layernorm", d.hidden);
        if (d.fused) {
            weights.linear(at + "self_attn.qkv_proj", queries + 2 * keys, d.hidden);
        } else {
            weights.linear(at + "self_attn.q_proj", queries, d.hidden);
            weights.linear(at + "self_attn.k_proj", keys, d.hidden);
            weights.linear(at + "self_attn.v_proj", keys, d.hidden);
        }
        if (d.headNorms) {
            weights.normLayer(at + "self_attn.q_norm", d.head);
            weights.normLayer(at + "self_attn.k_norm", d.head);
        }
        weights.linear(at + "self_attn.o_proj", d.hidden, queries);
        weights.normLayer(at + "post_attention_layernorm", d.hidden);
        if (d.outputNorms) {
            weights.normLayer(at + "pre_feedforward_layernorm", d.hidden);
            weights.normLayer(at + "post_feedforward_layernorm", d.hidden);
        }
        if (d.experts > 0) {
            fillExperts(d, weights, at);
        } else if (d.fused) {
            weights.linear(at + "mlp.gate_up_proj", 2 * d.inner, d.hidden);
            weights.linear(at + "mlp.down_proj", d.hidden, d.inner);
        } else {
            weights.linear(at + "mlp.gate_proj", d.inner, d.hidden);
            weights.linear(at + "mlp.up_proj", d.inner, d.hidden);
            weights.linear(at + "mlp.down_proj", d.hidden, d.inner);
        }
    }
    weights.normLayer(d.gpt2 ? "ln_f" : "model.norm", d.hidden);
    if (!d.tied)
        weights.add("lm_head.weight", {d.vocabulary, d.hidden}, 0.3);
}

/// model.safetensors and config.json in `folder`, opened.
inline Result<ModelPointer> openTiny(const TinyDecoder& d, const std::filesystem::path& folder)
{
    nlohmann::ordered_json config {{"model_type", d.type}, {"num_hidden_layers", d.layers},
        {"num_attention_heads", d.heads}, {"num_key_value_heads", d.keyValueHeads}, {"head_dim", d.head},
        {"hidden_size", d.hidden}, {"intermediate_size", d.inner}, {"vocab_size", d.vocabulary},
        {"tie_word_embeddings", d.tied}};
    config[d.gpt2 ? "layer_norm_epsilon" : "rms_norm_eps"] = d.epsilon;
    if (!d.gpt2)
        config["rope_theta"] = d.base;
    if (d.experts > 0) {
        config["num_experts"] = d.experts;
        config["num_experts_per_tok"] = d.perToken;
    }
    config.update(d.config);
    std::ofstream(folder / "config.json") << config.dump(2);
    nlohmann::ordered_json header;
    std::string data;
    for (const auto& [name, tensor] : d.tensors) {
        const auto begin = data.size();
        data.append(reinterpret_cast<const char*>(tensor.values.data()), tensor.values.size() * sizeof(float));
        header[name] = {{"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {begin, data.size()}}};
    }
    const auto text = header.dump();
    const std::uint64_t length = text.size();
    std::string size(8, '\0');
    std::memcpy(size.data(), &length, 8);
    std::ofstream(folder / "model.safetensors", std::ios::binary) << size << text << data;
    return openModel(folder);
}

}  // namespace quantloupe::tests
