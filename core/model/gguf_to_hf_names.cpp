// SPDX-License-Identifier: GPL-3.0-or-later
// From GGUF's tensor names to those of Hugging Face's Llama-like models. Source: interop notes on recipes, section 1.6.
#include "core/model/hugging_face_names.h"
#include "core/model/name_components.h"

#include <array>
#include <utility>

namespace quantloupe {
namespace {

using NamePair = std::pair<std::string_view, std::string_view>;

constexpr std::array kOutsideBlocks {
    NamePair {"token_embd", "model.embed_tokens"},
    NamePair {"output", "lm_head"},
    NamePair {"output_norm", "model.norm"},
};

constexpr std::array kInsideBlocks {
    NamePair {"attn_norm", "input_layernorm"},
    NamePair {"attn_q", "self_attn.q_proj"},
    NamePair {"attn_k", "self_attn.k_proj"},
    NamePair {"attn_v", "self_attn.v_proj"},
    NamePair {"attn_qkv", "self_attn.qkv_proj"},
    NamePair {"attn_output", "self_attn.o_proj"},
    NamePair {"attn_q_norm", "self_attn.q_norm"},
    NamePair {"attn_k_norm", "self_attn.k_norm"},
    NamePair {"ffn_gate", "mlp.gate_proj"},
    NamePair {"ffn_up", "mlp.up_proj"},
    NamePair {"ffn_down", "mlp.down_proj"},
    NamePair {"post_attention_norm", "post_attention_layernorm"},
    NamePair {"post_ffw_norm", "post_feedforward_layernorm"},
};

constexpr std::array<std::string_view, 12> kFamilies {"llama", "mistral", "mixtral", "qwen2", "qwen2moe", "qwen3",
    "qwen3moe", "gemma", "gemma2", "gemma3", "phi3", "phimoe"};

std::optional<std::string_view> hfPathOf(std::string_view part, std::string_view architecture)
{
    if (part == "ffn_norm")
        return architecture.starts_with("gemma2") || architecture.starts_with("gemma3") ? "pre_feedforward_layernorm"
                                                                                        : "post_attention_layernorm";
    if (part == "ffn_up" && architecture.starts_with("phi3"))
        return "mlp.gate_up_proj";
    for (const auto& [gguf, path] : kInsideBlocks)
        if (gguf == part)
            return path;
    return std::nullopt;
}

}  // namespace

std::optional<std::string> huggingFaceName(std::string_view ggufName, std::string_view architecture)
{
    bool known = false;
    for (const auto family : kFamilies)
        known = known || family == architecture;
    const auto name = componentsOf(ggufName);
    if (!known || name.size() < 2)
        return std::nullopt;
    const auto suffix = std::string(".").append(name.back());
    if (name.size() == 2) {
        for (const auto& [gguf, path] : kOutsideBlocks)
            if (gguf == name[0])
                return std::string(path) + suffix;
        return std::nullopt;
    }
    const auto block = name.size() == 4 && name[0] == "blk" ? indexIn(name[1]) : std::nullopt;
    const auto path = block ? hfPathOf(name[2], architecture) : std::nullopt;
    if (!path)
        return std::nullopt;
    return "model.layers." + std::to_string(*block) + "." + std::string(*path) + suffix;
}

}  // namespace quantloupe
