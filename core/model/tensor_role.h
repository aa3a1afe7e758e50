// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace quantloupe {

/// What a tensor does in its model, whatever the naming world.
enum class TensorRole : std::uint8_t {
    Embedding,
    Position,
    LmHead,
    Query,
    Key,
    Value,
    Output,
    QueryKeyValue,
    Gate,
    Up,
    Down,
    GateUp,
    Router,
    Norm,
    Bias,
    Other,
};

/// "embedding", "position", "lm_head", "q", "k", "v", "o", "qkv", "gate", "up", "down", "gate_up", "router", "norm",
/// "bias", "other".
std::string_view nameOf(TensorRole role);

/// Which convention the tensor names follow.
enum class NamingWorld : std::uint8_t { HuggingFace, Gguf };

/// What a tensor's name says about it.
struct NameParts {
    TensorRole role = TensorRole::Other;
    std::optional<unsigned> block {};   ///< transformer block, 0-based
    std::optional<unsigned> expert {};  ///< expert of a mixture; absent for shared experts and stacks
    bool sharedExpert = false;
    bool expertStack = false;  ///< 3-D stack of all experts (GGUF)
    /// Tensors that runtimes fuse and so must share a scheme, e.g. "0.attn.qkv", "3.mlp.gate_up"; empty when alone.
    std::string fusedGroup {};

    bool operator==(const NameParts&) const = default;
};

/// Reads role, block and expert from a tensor name of Llama, Mistral, Qwen, Gemma, Phi, GPT-2, Falcon, Mixtral,
/// Qwen-MoE or DeepSeek families, in either naming world. Source: interop notes, sections 11.1 and 11.2.
NameParts readName(std::string_view tensorName);

/// The name the same tensor has in GGUF, e.g. "blk.0.attn_q.weight"; nullopt when GGUF has no counterpart
/// (per-expert weights are stacked there: the stack's name is given). `architecture` is config.json's model_type.
std::optional<std::string> ggufName(std::string_view tensorName, std::string_view architecture);

}  // namespace quantloupe
