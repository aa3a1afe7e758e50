// SPDX-License-Identifier: GPL-3.0-or-later
// One small decoder of each family that can be run.
#pragma once

#include "tests/core/inference/slow_forward.h"

namespace quantloupe::tests {

inline TinyDecoder tinyGemma(const std::string& type)
{
    TinyDecoder d {.type = type, .norm = "plus one", .activation = "tanh"};
    d.head = 16;  // more than hidden / heads
    d.turned = 16;
    d.embeddingScale = std::sqrt(double(d.hidden));
    d.config["hidden_activation"] = "gelu_pytorch_tanh";
    if (type == "gemma")
        return d;
    d.outputNorms = true;
    d.attentionScale = 1.0 / std::sqrt(24.0);
    d.config["query_pre_attn_scalar"] = 24;
    d.config["sliding_window"] = 5;
    if (type == "gemma2") {
        d.windows = {5, 0};
        d.attentionCap = 3.0;
        d.outputCap = 4.0;
        d.config["attn_logit_softcapping"] = 3.0;
        d.config["final_logit_softcapping"] = 4.0;
        return d;
    }
    d.headNorms = true;
    d.layers = 7;  // the sixth attends to everything
    d.windows = {5, 5, 5, 5, 5, 0, 5};
    d.local = {true, true, true, true, true, false, true};
    d.rotates.assign(7, true);
    d.base = 1e6;
    d.localBase = 700.0;
    d.config["rope_local_base_freq"] = 700.0;
    return d;
}

inline std::map<std::string, TinyDecoder> tinyFamilies()
{
    std::map<std::string, TinyDecoder> families;
    families["llama"] = {};
    families["llama with biases and its own head"] = {.biases = true, .tied = false};
    families["mistral"] = {.type = "mistral", .windows = {7, 7}};
    families["mistral"].config["sliding_window"] = 7;
    families["qwen2"] = {.type = "qwen2", .biases = true};
    families["qwen2"].config.update({{"sliding_window", 5}, {"use_sliding_window", false}});
    families["qwen2 with windows"] = {.type = "qwen2", .windows = {0, 6}};
    families["qwen2 with windows"].config.update(
        {{"sliding_window", 6}, {"use_sliding_window", true}, {"max_window_layers", 1}});
    families["qwen3"] = {.type = "qwen3", .base = 1e6, .headNorms = true, .tied = false};
    for (const auto* type : {"gemma", "gemma2", "gemma3_text"})
        families[type] = tinyGemma(type);
    families["phi3"] = {.type = "phi3", .turned = 6, .fused = true, .tied = false};
    families["phi3"].config["partial_rotary_factor"] = 0.75;
    families["smollm3"] = {.type = "smollm3",
        .layers = 4,
        .windows = {0, 0, 0, 0},
        .local = {false, false, false, false},
        .rotates = {true, true, true, false}};
    families["gpt2"] = {.type = "gpt2", .norm = "layer", .activation = "tanh", .keyValueHeads = 4, .gpt2 = true};
    families["gpt2"].config["activation_function"] = "gelu_new";
    families["mixtral"] = {.type = "mixtral", .experts = 5, .perToken = 2, .tied = false};
    families["qwen2_moe"] = {.type = "qwen2_moe", .experts = 4, .perToken = 2, .normalizes = false, .shared = true};
    families["qwen3_moe"] = {.type = "qwen3_moe", .experts = 6, .perToken = 3, .headNorms = true};
    families["qwen3_moe"].config["norm_topk_prob"] = true;
    families["erf"] = {.activation = "gelu"};
    families["erf"].config["hidden_act"] = "gelu";
    for (auto& [name, family] : families)
        fillTiny(family);
    return families;
}

}  // namespace quantloupe::tests
