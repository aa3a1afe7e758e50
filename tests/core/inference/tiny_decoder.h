// SPDX-License-Identifier: GPL-3.0-or-later
// Small decoders of random weights, written as checkpoints, and a second implementation of their forward pass: one
// token and one number at a time, in double, straight from the published definitions.
#pragma once

#include "core/file_formats/file_format.h"

#include <nlohmann/json.hpp>

#include <QTemporaryDir>

#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <numbers>
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

/// The forward pass, a second time.
class SlowForward
{
public:
    using Row = std::vector<double>;
    using Rows = std::vector<Row>;

    SlowForward(const TinyDecoder& decoder, std::vector<std::uint32_t> tokens)
        : d(decoder)
        , m_tokens(std::move(tokens))
    {
    }

    /// [tokens][vocabulary].
    Rows logits() const
    {
        const auto& embedding = d.at(d.gpt2 ? "wte.weight" : "model.embed_tokens.weight");
        Rows x;
        for (std::size_t t = 0; t < m_tokens.size(); ++t) {
            x.push_back(rowOf(embedding, m_tokens[t]));
            for (auto& value : x.back())
                value *= d.embeddingScale;
            if (d.gpt2)
                add(x.back(), rowOf(d.at("wpe.weight"), t));
        }
        for (std::size_t i = 0; i < d.layers; ++i)
            block(x, i);
        Rows result;
        for (const auto& row : x) {
            const auto normed = norm(row, d.gpt2 ? "ln_f" : "model.norm");
            Row out(d.vocabulary);
            for (std::size_t v = 0; v < d.vocabulary; ++v) {
                const auto weights = rowOf(d.tied ? embedding : d.at("lm_head.weight"), v);
                out[v] = std::inner_product(weights.begin(), weights.end(), normed.begin(), 0.0);
                if (d.outputCap > 0.0)
                    out[v] = d.outputCap * std::tanh(out[v] / d.outputCap);
            }
            result.push_back(std::move(out));
        }
        return result;
    }

private:
    static Row rowOf(const TinyTensor& tensor, std::size_t row)
    {
        const auto columns = tensor.shape[1];
        const auto* begin = tensor.values.data() + row * columns;
        return {begin, begin + columns};
    }
    static void add(Row& x, const Row& y)
    {
        for (std::size_t i = 0; i < x.size(); ++i)
            x[i] += y[i];
    }

    Row norm(const Row& x, const std::string& name) const
    {
        const auto& weight = d.at(name + ".weight").values;
        double mean = 0.0, square = 0.0;
        if (d.norm == "layer")
            for (const double value : x)
                mean += value / double(x.size());
        for (const double value : x)
            square += (value - mean) * (value - mean) / double(x.size());
        Row out(x.size());
        for (std::size_t i = 0; i < x.size(); ++i) {
            out[i] = (x[i] - mean) / std::sqrt(square + d.epsilon)
                * (double(weight[i]) + (d.norm == "plus one" ? 1.0 : 0.0));
            if (d.gpt2)
                out[i] += double(d.at(name + ".bias").values[i]);
        }
        return out;
    }

    Row linear(const Row& x, const std::string& name) const
    {
        const auto& weight = d.at(name + ".weight");
        const auto outputs = weight.shape[d.gpt2 ? 1 : 0];
        Row out(outputs, 0.0);
        for (std::size_t o = 0; o < outputs; ++o)
            for (std::size_t i = 0; i < x.size(); ++i)
                out[o] += x[i] * double(weight.values[d.gpt2 ? i * outputs + o : o * x.size() + i]);
        if (const auto bias = d.tensors.find(name + ".bias"); bias != d.tensors.end())
            for (std::size_t o = 0; o < outputs; ++o)
                out[o] += double(bias->second.values[o]);
        return out;
    }

    double activate(double x) const
    {
        if (d.activation == "silu")
            return x / (1.0 + std::exp(-x));
        if (d.activation == "gelu")
            return 0.5 * x * (1.0 + std::erf(x / std::numbers::sqrt2));
        return 0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
    }

    /// q, k or v of one token: part 0, 1, 2.
    Row projected(const Row& h, const std::string& at, int part) const
    {
        static const char* const names[] = {"q", "k", "v"};
        if (!d.gpt2 && !d.fused)
            return linear(h, at + "self_attn." + names[part] + "_proj");
        const auto all = linear(h, at + (d.gpt2 ? "attn.c_attn" : "self_attn.qkv_proj"));
        const auto queries = std::ptrdiff_t(d.heads * d.head), keys = std::ptrdiff_t(d.keyValueHeads * d.head);
        const auto begin = all.begin() + (part == 0 ? 0 : part == 1 ? queries : queries + keys);
        return {begin, begin + (part == 0 ? queries : keys)};
    }

    Row headOf(
        const Row& row, std::size_t head, const std::string& normName, std::size_t position, std::size_t layer) const
    {
        Row out(row.begin() + std::ptrdiff_t(head * d.head), row.begin() + std::ptrdiff_t((head + 1) * d.head));
        if (d.headNorms && !normName.empty())
            out = norm(out, normName);
        if (d.gpt2 || !d.rotates[layer] || normName.empty())
            return out;
        const double base = d.local[layer] ? d.localBase : d.base;
        auto turned = out;
        const auto half = d.turned / 2;
        for (std::size_t i = 0; i < half; ++i) {
            const double angle = double(position) / std::pow(base, 2.0 * double(i) / double(d.turned));
            turned[i] = out[i] * std::cos(angle) - out[i + half] * std::sin(angle);
            turned[i + half] = out[i + half] * std::cos(angle) + out[i] * std::sin(angle);
        }
        return turned;
    }

    void block(Rows& x, std::size_t layer) const
    {
        const auto at = (d.gpt2 ? "h." : "model.layers.") + std::to_string(layer) + ".";
        Rows q, k, v;
        for (const auto& row : x) {
            const auto h = norm(row, at + (d.gpt2 ? "ln_1" : "input_layernorm"));
            q.push_back(projected(h, at, 0));
            k.push_back(projected(h, at, 1));
            v.push_back(projected(h, at, 2));
        }
        const double scale = d.attentionScale > 0.0 ? d.attentionScale : 1.0 / std::sqrt(double(d.head));
        for (std::size_t t = 0; t < x.size(); ++t) {
            Row attended;
            for (std::size_t head = 0; head < d.heads; ++head) {
                const auto shared = head * d.keyValueHeads / d.heads;
                const auto query = headOf(q[t], head, at + "self_attn.q_norm", t, layer);
                Row weights(t + 1, 0.0);
                double sum = 0.0;
                for (std::size_t s = 0; s <= t; ++s) {
                    if (d.windows[layer] != 0 && t - s >= d.windows[layer])
                        continue;
                    const auto key = headOf(k[s], shared, at + "self_attn.k_norm", s, layer);
                    double score = scale * std::inner_product(query.begin(), query.end(), key.begin(), 0.0);
                    if (d.attentionCap > 0.0)
                        score = d.attentionCap * std::tanh(score / d.attentionCap);
                    weights[s] = std::exp(score);
                    sum += weights[s];
                }
                Row out(d.head, 0.0);
                for (std::size_t s = 0; s <= t; ++s)
                    for (std::size_t i = 0; i < d.head; ++i)
                        out[i] += weights[s] / sum * v[s][shared * d.head + i];
                attended.insert(attended.end(), out.begin(), out.end());
            }
            auto out = linear(attended, at + (d.gpt2 ? "attn.c_proj" : "self_attn.o_proj"));
            if (d.outputNorms)
                out = norm(out, at + "post_attention_layernorm");
            add(x[t], out);
        }
        for (auto& row : x) {
            const auto h = norm(row,
                at
                    + (d.gpt2               ? "ln_2"
                            : d.outputNorms ? "pre_feedforward_layernorm"
                                            : "post_attention_layernorm"));
            auto out = d.experts > 0 ? mixture(h, at) : feedForward(h, at);
            if (d.outputNorms)
                out = norm(out, at + "post_feedforward_layernorm");
            add(row, out);
        }
    }

    Row gated(const Row& h, const std::string& gateName, const std::string& upName, const std::string& downName) const
    {
        auto gate = linear(h, gateName);
        const auto up = linear(h, upName);
        for (std::size_t i = 0; i < gate.size(); ++i)
            gate[i] = activate(gate[i]) * up[i];
        return linear(gate, downName);
    }

    Row feedForward(const Row& h, const std::string& at) const
    {
        if (d.gpt2) {
            auto between = linear(h, at + "mlp.c_fc");
            for (auto& value : between)
                value = activate(value);
            return linear(between, at + "mlp.c_proj");
        }
        if (!d.fused)
            return gated(h, at + "mlp.gate_proj", at + "mlp.up_proj", at + "mlp.down_proj");
        const auto both = linear(h, at + "mlp.gate_up_proj");
        Row between(d.inner);
        for (std::size_t i = 0; i < d.inner; ++i)
            between[i] = activate(both[i]) * both[d.inner + i];
        return linear(between, at + "mlp.down_proj");
    }

    Row mixture(const Row& h, const std::string& at) const
    {
        const bool mixtral = d.type == "mixtral";
        const auto mlp = at + (mixtral ? "block_sparse_moe." : "mlp.");
        const auto scores = linear(h, mlp + "gate");
        double all = 0.0;
        for (const double score : scores)
            all += std::exp(score);
        std::vector<std::size_t> order(scores.size());
        std::iota(order.begin(), order.end(), std::size_t {0});
        std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
        double chosen = 0.0;
        for (std::size_t i = 0; i < d.perToken; ++i)
            chosen += std::exp(scores[order[i]]) / all;
        Row out(d.hidden, 0.0);
        for (std::size_t i = 0; i < d.perToken; ++i) {
            const auto start = mlp + "experts." + std::to_string(order[i]) + ".";
            auto one = gated(h, start + (mixtral ? "w1" : "gate_proj"), start + (mixtral ? "w3" : "up_proj"),
                start + (mixtral ? "w2" : "down_proj"));
            for (auto& value : one)
                value *= std::exp(scores[order[i]]) / all / (d.normalizes ? chosen : 1.0);
            add(out, one);
        }
        if (!d.shared)
            return out;
        auto one =
            gated(h, mlp + "shared_expert.gate_proj", mlp + "shared_expert.up_proj", mlp + "shared_expert.down_proj");
        const double share = 1.0 / (1.0 + std::exp(-linear(h, mlp + "shared_expert_gate")[0]));
        for (auto& value : one)
            value *= share;
        add(out, one);
        return out;
    }

    const TinyDecoder& d;
    std::vector<std::uint32_t> m_tokens;
};

}  // namespace quantloupe::tests
