// SPDX-License-Identifier: GPL-3.0-or-later
// A second implementation of the forward pass of small decoders: one token and one number at a time, in double,
// straight from the published definitions; or in numbers that note what they were made of (taped_number.h).
#pragma once

#include "tests/core/inference/tiny_decoder.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

namespace quantloupe::tests {

/// The weights as they are.
struct PlainWeights {
    double operator()(const TinyTensor& tensor, std::size_t index) const { return double(tensor.values[index]); }
};

/// The forward pass, a second time.
template<class Number, class Weights>
class SlowForwardOf
{
public:
    using Row = std::vector<Number>;
    using Rows = std::vector<Row>;

    /// Stand-ins for what runtimes quantize: one token's input of a layer, by its name without ".weight"; a head.
    std::function<Row(const Row&, const std::string&)> replaceInput {};
    std::function<Row(const Row&)> replaceHead {};
    /// Sees the residual stream behind the embedding (0) and behind each block.
    std::function<void(std::size_t, const Rows&)> watchStream {};

    SlowForwardOf(const TinyDecoder& decoder, std::vector<std::uint32_t> tokens, Weights weights = {})
        : d(decoder)
        , m_tokens(std::move(tokens))
        , weightOf(std::move(weights))
    {
    }

    /// [tokens][vocabulary].
    Rows logits() const
    {
        using std::tanh;
        const auto& embedding = d.at(d.gpt2 ? "wte.weight" : "model.embed_tokens.weight");
        Rows x;
        for (std::size_t t = 0; t < m_tokens.size(); ++t) {
            x.push_back(rowOf(embedding, m_tokens[t]));
            for (auto& value : x.back())
                value *= d.embeddingScale;
            if (d.gpt2)
                add(x.back(), rowOf(d.at("wpe.weight"), t));
        }
        for (std::size_t i = 0; i <= d.layers; ++i) {
            if (i > 0)
                block(x, i - 1);
            if (watchStream)
                watchStream(i, x);
        }
        Rows result;
        for (const auto& row : x) {
            auto normed = norm(row, d.gpt2 ? "ln_f" : "model.norm");
            if (replaceInput)
                normed = replaceInput(normed, !d.tied ? "lm_head" : d.gpt2 ? "wte" : "model.embed_tokens");
            Row out(d.vocabulary);
            for (std::size_t v = 0; v < d.vocabulary; ++v) {
                const auto weights = rowOf(d.tied ? embedding : d.at("lm_head.weight"), v);
                out[v] = std::inner_product(weights.begin(), weights.end(), normed.begin(), Number(0.0));
                if (d.outputCap > 0.0)
                    out[v] = d.outputCap * tanh(out[v] / d.outputCap);
            }
            result.push_back(std::move(out));
        }
        return result;
    }

private:
    Row rowOf(const TinyTensor& tensor, std::size_t row) const
    {
        const auto columns = tensor.shape[1];
        Row out;
        for (std::size_t i = 0; i < columns; ++i)
            out.push_back(weightOf(tensor, row * columns + i));
        return out;
    }
    static void add(Row& x, const Row& y)
    {
        for (std::size_t i = 0; i < x.size(); ++i)
            x[i] += y[i];
    }

    static void append(Row& x, const Row& y) { x.insert(x.end(), y.begin(), y.end()); }
    Row cached(const Row& head) const { return replaceHead ? replaceHead(head) : head; }

    Row norm(const Row& x, const std::string& name) const
    {
        using std::sqrt;
        const auto& weight = d.at(name + ".weight");
        Number mean = 0.0, square = 0.0;
        if (d.norm == "layer")
            for (const auto& value : x)
                mean += value / double(x.size());
        for (const auto& value : x)
            square += (value - mean) * (value - mean) / double(x.size());
        Row out(x.size());
        for (std::size_t i = 0; i < x.size(); ++i) {
            out[i] =
                (x[i] - mean) / sqrt(square + d.epsilon) * (weightOf(weight, i) + (d.norm == "plus one" ? 1.0 : 0.0));
            if (d.gpt2)
                out[i] += weightOf(d.at(name + ".bias"), i);
        }
        return out;
    }

    Row linear(const Row& input, const std::string& name) const
    {
        const auto x = replaceInput ? replaceInput(input, name) : input;
        const auto& weight = d.at(name + ".weight");
        const auto outputs = weight.shape[d.gpt2 ? 1 : 0];
        Row out(outputs, 0.0);
        for (std::size_t o = 0; o < outputs; ++o)
            for (std::size_t i = 0; i < x.size(); ++i)
                out[o] += x[i] * weightOf(weight, d.gpt2 ? i * outputs + o : o * x.size() + i);
        if (const auto bias = d.tensors.find(name + ".bias"); bias != d.tensors.end())
            for (std::size_t o = 0; o < outputs; ++o)
                out[o] += weightOf(bias->second, o);
        return out;
    }

    Number activate(const Number& x) const
    {
        using std::erf, std::exp, std::tanh;
        if (d.activation == "silu")
            return x / (1.0 + exp(-x));
        if (d.activation == "gelu")
            return 0.5 * x * (1.0 + erf(x / std::numbers::sqrt2));
        return 0.5 * x * (1.0 + tanh(std::sqrt(2.0 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
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
        using std::exp, std::tanh;
        const auto at = (d.gpt2 ? "h." : "model.layers.") + std::to_string(layer) + ".";
        Rows q, k, v;
        for (const auto& row : x) {
            const auto h = norm(row, at + (d.gpt2 ? "ln_1" : "input_layernorm"));
            q.push_back(projected(h, at, 0));
            k.push_back(projected(h, at, 1));
            const auto values = projected(h, at, 2);
            for (v.emplace_back(); v.back().size() < values.size();)
                append(v.back(), cached(headOf(values, v.back().size() / d.head, {}, 0, layer)));
        }
        const double scale = d.attentionScale > 0.0 ? d.attentionScale : 1.0 / std::sqrt(double(d.head));
        for (std::size_t t = 0; t < x.size(); ++t) {
            Row attended;
            for (std::size_t head = 0; head < d.heads; ++head) {
                const auto shared = head * d.keyValueHeads / d.heads;
                const auto query = headOf(q[t], head, at + "self_attn.q_norm", t, layer);
                Row weights(t + 1, 0.0);
                Number sum = 0.0;
                for (std::size_t s = 0; s <= t; ++s) {
                    if (d.windows[layer] != 0 && t - s >= d.windows[layer])
                        continue;
                    const auto key = cached(headOf(k[s], shared, at + "self_attn.k_norm", s, layer));
                    Number score = scale * std::inner_product(query.begin(), query.end(), key.begin(), Number(0.0));
                    if (d.attentionCap > 0.0)
                        score = d.attentionCap * tanh(score / d.attentionCap);
                    weights[s] = exp(score);
                    sum += weights[s];
                }
                Row out(d.head, 0.0);
                for (std::size_t s = 0; s <= t; ++s)
                    for (std::size_t i = 0; i < d.head; ++i)
                        out[i] += weights[s] / sum * v[s][shared * d.head + i];
                append(attended, out);
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
        using std::exp;
        const bool mixtral = d.type == "mixtral";
        const auto mlp = at + (mixtral ? "block_sparse_moe." : "mlp.");
        const auto scores = linear(h, mlp + "gate");
        Number all = 0.0;
        for (const auto& score : scores)
            all += exp(score);
        std::vector<std::size_t> order(scores.size());
        std::iota(order.begin(), order.end(), std::size_t {0});
        std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
        Number chosen = 0.0;
        for (std::size_t i = 0; i < d.perToken; ++i)
            chosen += exp(scores[order[i]]) / all;
        Row out(d.hidden, 0.0);
        for (std::size_t i = 0; i < d.perToken; ++i) {
            const auto start = mlp + "experts." + std::to_string(order[i]) + ".";
            auto one = gated(h, start + (mixtral ? "w1" : "gate_proj"), start + (mixtral ? "w3" : "up_proj"),
                start + (mixtral ? "w2" : "down_proj"));
            for (auto& value : one)
                value *= exp(scores[order[i]]) / all / (d.normalizes ? chosen : Number(1.0));
            add(out, one);
        }
        if (!d.shared)
            return out;
        auto one =
            gated(h, mlp + "shared_expert.gate_proj", mlp + "shared_expert.up_proj", mlp + "shared_expert.down_proj");
        const Number share = 1.0 / (1.0 + exp(-linear(h, mlp + "shared_expert_gate")[0]));
        for (auto& value : one)
            value *= share;
        add(out, one);
        return out;
    }

    const TinyDecoder& d;
    std::vector<std::uint32_t> m_tokens;
    Weights weightOf;
};

using SlowForward = SlowForwardOf<double, PlainWeights>;

}  // namespace quantloupe::tests
