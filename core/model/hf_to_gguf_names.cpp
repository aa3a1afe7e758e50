// SPDX-License-Identifier: GPL-3.0-or-later
// From Hugging Face tensor names to GGUF's. Source: interop notes on llama.cpp recipes, section 1.6; Falcon's norms
// from the name table of the converter that comes with llama.cpp.
#include "core/model/name_components.h"

#include <algorithm>
#include <array>

namespace quantloupe {
namespace {

struct Pair {
    std::string_view path;  ///< module path below the block, or of the whole name outside blocks
    std::string_view gguf;
};

constexpr Pair kTopLevelPairs[] = {
    {"embed_tokens", "token_embd"},
    {"wte", "token_embd"},
    {"word_embeddings", "token_embd"},
    {"embd.wte", "token_embd"},
    {"tok_embeddings", "token_embd"},
    {"wpe", "position_embd"},
    {"lm_head", "output"},
    {"output", "output"},
    {"norm", "output_norm"},
    {"ln_f", "output_norm"},
    {"final_layernorm", "output_norm"},
};

constexpr Pair kBlockPairs[] = {
    {"input_layernorm", "attn_norm"},
    {"ln_1", "attn_norm"},
    {"ln_mlp", "attn_norm"},
    {"ln_attn", "attn_norm_2"},
    {"attention_norm", "attn_norm"},
    {"ffn_norm", "ffn_norm"},
    {"ln_2", "ffn_norm"},
    {"pre_feedforward_layernorm", "ffn_norm"},
    {"post_feedforward_layernorm", "post_ffw_norm"},
    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.o_proj", "attn_output"},
    {"self_attn.dense", "attn_output"},
    {"self_attn.qkv_proj", "attn_qkv"},
    {"self_attn.q_norm", "attn_q_norm"},
    {"self_attn.k_norm", "attn_k_norm"},
    {"self_attn.q_a_proj", "attn_q_a"},
    {"self_attn.q_b_proj", "attn_q_b"},
    {"self_attn.kv_a_proj_with_mqa", "attn_kv_a_mqa"},
    {"self_attn.kv_b_proj", "attn_kv_b"},
    {"self_attn.q_a_layernorm", "attn_q_a_norm"},
    {"self_attn.kv_a_layernorm", "attn_kv_a_norm"},
    {"attention.wq", "attn_q"},
    {"attention.wk", "attn_k"},
    {"attention.wv", "attn_v"},
    {"attention.wo", "attn_output"},
    {"attn.c_attn", "attn_qkv"},
    {"attn.c_proj", "attn_output"},
    {"self_attention.query_key_value", "attn_qkv"},
    {"self_attention.dense", "attn_output"},
    {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},
    {"mlp.gate_up_proj", "ffn_up"},
    {"mlp.fc1", "ffn_up"},
    {"mlp.fc2", "ffn_down"},
    {"mlp.c_fc", "ffn_up"},
    {"mlp.c_proj", "ffn_down"},
    {"mlp.w1", "ffn_up"},
    {"mlp.w2", "ffn_gate"},
    {"mlp.dense_h_to_4h", "ffn_up"},
    {"mlp.dense_4h_to_h", "ffn_down"},
    {"feed_forward.w1", "ffn_gate"},
    {"feed_forward.w2", "ffn_down"},
    {"feed_forward.w3", "ffn_up"},
    {"mlp.gate", "ffn_gate_inp"},
    {"block_sparse_moe.gate", "ffn_gate_inp"},
    {"mlp.shared_expert_gate", "ffn_gate_inp_shexp"},
};

/// Families whose norm after attention is one of its own, not the one before the feed-forward part.
bool hasPostAttentionNorm(std::string_view architecture)
{
    return architecture.starts_with("gemma2") || architecture.starts_with("gemma3")
        || architecture.starts_with("olmo2");
}

template<std::size_t size>
std::optional<std::string> lookUp(const Pair (&table)[size], std::string_view path)
{
    for (const auto& row : table)
        if (row.path == path)
            return std::string(row.gguf);
    return std::nullopt;
}

std::string join(const std::vector<std::string_view>& components, std::size_t first, std::size_t last)
{
    std::string text;
    for (auto i = first; i < last; ++i)
        text.append(i == first ? "" : ".").append(components[i]);
    return text;
}

/// Experts are stacked in GGUF, so the number goes: "mlp.experts.3.up_proj" is part of "ffn_up_exps".
std::optional<std::string> expertName(const NameParts& parts)
{
    const char* suffix = parts.sharedExpert ? "_shexp" : "_exps";
    switch (parts.role) {
    case TensorRole::Gate: return std::string("ffn_gate") + suffix;
    case TensorRole::Up: return std::string("ffn_up") + suffix;
    case TensorRole::Down: return std::string("ffn_down") + suffix;
    case TensorRole::GateUp: return std::string("ffn_gate_up") + suffix;
    default: return std::nullopt;
    }
}

}  // namespace

std::optional<std::string> ggufName(std::string_view tensorName, std::string_view architecture)
{
    auto name = componentsOf(tensorName);
    if (isGgufName(name))
        return std::string(tensorName);
    if (tensorName.ends_with(".e_score_correction_bias")) {
        const auto block = readName(tensorName).block;
        return block ? std::optional("blk." + std::to_string(*block) + ".exp_probs_b.bias") : std::nullopt;
    }
    const auto suffix = name.back();
    if (suffix != "weight" && suffix != "bias")
        return std::nullopt;
    name.pop_back();

    // Wrappers that say nothing: "model.", "transformer.", "model.language_model.".
    static constexpr std::array kWrappers {"model", "transformer", "language_model"};
    std::size_t first = 0;
    while (first + 1 < name.size() && std::find(kWrappers.begin(), kWrappers.end(), name[first]) != kWrappers.end())
        ++first;

    if (first + 2 >= name.size() || (name[first] != "layers" && name[first] != "h")) {
        auto gguf = lookUp(kTopLevelPairs, join(name, first, name.size()));
        return gguf ? std::optional(*gguf + "." + std::string(suffix)) : std::nullopt;
    }
    const auto block = indexIn(name[first + 1]);
    if (!block)
        return std::nullopt;
    const auto path = join(name, first + 2, name.size());
    // The role of a bias is "bias"; where it belongs is read from the weight beside it.
    const auto parts = readName(join(name, 0, name.size()) + ".weight");
    std::optional<std::string> gguf;
    if (path == "post_attention_layernorm")
        gguf = hasPostAttentionNorm(architecture) ? "post_attention_norm" : "ffn_norm";
    else if (parts.expert || parts.expertStack || (parts.sharedExpert && parts.role != TensorRole::Router))
        gguf = expertName(parts);
    else
        gguf = lookUp(kBlockPairs, path);
    if (!gguf)
        return std::nullopt;
    return "blk." + std::to_string(*block) + "." + *gguf + "." + std::string(suffix);
}

}  // namespace quantloupe
