// SPDX-License-Identifier: GPL-3.0-or-later
// Tensor names as GGUF spells them. Source: interop notes, section 11.1.
#include "core/model/name_components.h"

#include <algorithm>
#include <array>
#include <utility>

namespace quantloupe {
namespace {

using Role = TensorRole;

constexpr std::pair<std::string_view, Role> kTopLevel[] = {
    {"token_embd", Role::Embedding},
    {"position_embd", Role::Position},
    {"output", Role::LmHead},
    {"output_norm", Role::Norm},
    {"token_embd_norm", Role::Norm},
    {"token_types", Role::Other},
    {"rope_freqs", Role::Other},
    {"rope_factors_long", Role::Other},
    {"rope_factors_short", Role::Other},
};

constexpr std::pair<std::string_view, Role> kInBlock[] = {
    {"attn_q", Role::Query},
    {"attn_k", Role::Key},
    {"attn_v", Role::Value},
    {"attn_qkv", Role::QueryKeyValue},
    {"attn_output", Role::Output},
    {"attn_out", Role::Output},
    {"attn_o", Role::Output},
    {"attn_q_a", Role::Query},
    {"attn_q_b", Role::Query},
    {"attn_kv_a_mqa", Role::QueryKeyValue},
    {"attn_kv_b", Role::QueryKeyValue},
    {"attn_k_b", Role::Key},
    {"attn_v_b", Role::Value},
    {"cross_attn_q", Role::Query},
    {"cross_attn_k", Role::Key},
    {"cross_attn_v", Role::Value},
    {"cross_attn_o", Role::Output},
    {"ffn_gate", Role::Gate},
    {"ffn_up", Role::Up},
    {"ffn_down", Role::Down},
    {"ffn_gate_up", Role::GateUp},
    {"ffn_gate_inp", Role::Router},
    {"exp_probs_b", Role::Bias},
};

template<std::size_t size>
Role lookUp(const std::pair<std::string_view, Role> (&table)[size], std::string_view name)
{
    for (const auto& [key, role] : table)
        if (key == name)
            return role;
    return name.find("norm") == std::string_view::npos ? Role::Other : Role::Norm;
}

/// Where the block number stands: 1 for "blk.N", 2 for "enc.blk.N"; nothing outside blocks.
std::optional<std::size_t> findGgufBlock(const std::vector<std::string_view>& name)
{
    for (const std::size_t i : {std::size_t {0}, std::size_t {1}})
        if (name.size() > i + 2 && name[i] == "blk" && indexIn(name[i + 1]))
            return i + 1;
    return std::nullopt;
}

std::string groupOf(std::string_view module, const NameParts& parts, const std::string& block)
{
    if (module == "attn_q_a" || module == "attn_kv_a_mqa")
        return block + ".attn.qkv_a";
    if (module == "attn_q" || module == "attn_k" || module == "attn_v")
        return block + ".attn.qkv";
    if (module.starts_with("cross_attn_") && parts.role != Role::Output && parts.role != Role::Norm)
        return block + ".cross_attn.qkv";
    if (parts.role != Role::Gate && parts.role != Role::Up)
        return {};
    if (parts.expert)
        return block + ".mlp.experts." + std::to_string(*parts.expert) + ".gate_up";
    return block
        + (parts.sharedExpert       ? ".mlp.shared_expert.gate_up"
                : parts.expertStack ? ".mlp.experts.gate_up"
                                    : ".mlp.gate_up");
}

}  // namespace

bool isGgufName(const std::vector<std::string_view>& name)
{
    if (findGgufBlock(name))
        return true;
    const auto known = [&](const auto& row) { return row.first == name[0]; };
    return name.size() <= 2 && std::any_of(std::begin(kTopLevel), std::end(kTopLevel), known);
}

NameParts readGgufName(const std::vector<std::string_view>& name)
{
    NameParts parts;
    const auto block = findGgufBlock(name);
    auto module = name[block ? *block + 1 : 0];
    std::string label;
    if (block) {
        const bool ownTower = *block == 1 || name[0] == "enc" || name[0] == "dec";
        if (ownTower)  // "v.blk.0" belongs to a vision tower, which counts for itself
            parts.block = indexIn(name[*block]);
        label = (*block == 1 ? "" : std::string(name[0]) + ".") + std::string(name[*block]);
        if (module.ends_with("_exps"))
            parts.expertStack = true;
        if (module.ends_with("_shexp"))
            parts.sharedExpert = true;
        if (parts.expertStack || parts.sharedExpert)
            module = module.substr(0, module.rfind('_'));
        if (name.size() > *block + 2)  // files from before the stacks: "blk.0.ffn_gate.3.weight"
            parts.expert = indexIn(name[*block + 2]);
    }
    if (name.back() == "bias") {
        parts.role = Role::Bias;
        return parts;
    }
    parts.role = block ? lookUp(kInBlock, module) : lookUp(kTopLevel, module);
    if (block)
        parts.fusedGroup = groupOf(module, parts, label);
    return parts;
}

}  // namespace quantloupe
