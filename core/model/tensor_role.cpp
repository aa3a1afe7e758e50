// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/model/tensor_role.h"

#include "core/model/name_components.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

namespace quantloupe {
namespace {

using Role = TensorRole;
using Components = std::vector<std::string_view>;

/// Module names whose role does not depend on where they stand.
constexpr std::pair<std::string_view, Role> kModules[] = {
    {"embed_tokens", Role::Embedding},
    {"wte", Role::Embedding},
    {"word_embeddings", Role::Embedding},
    {"embed_in", Role::Embedding},
    {"tok_embeddings", Role::Embedding},
    {"wpe", Role::Position},
    {"position_embeddings", Role::Position},
    {"embed_positions", Role::Position},
    {"lm_head", Role::LmHead},
    {"embed_out", Role::LmHead},
    {"q_proj", Role::Query},
    {"wq", Role::Query},
    {"query", Role::Query},
    {"q_a_proj", Role::Query},
    {"q_b_proj", Role::Query},
    {"k_proj", Role::Key},
    {"wk", Role::Key},
    {"key", Role::Key},
    {"v_proj", Role::Value},
    {"wv", Role::Value},
    {"value", Role::Value},
    {"kv_a_proj_with_mqa", Role::QueryKeyValue},
    {"kv_b_proj", Role::QueryKeyValue},
    {"qkv_proj", Role::QueryKeyValue},
    {"query_key_value", Role::QueryKeyValue},
    {"c_attn", Role::QueryKeyValue},
    {"Wqkv", Role::QueryKeyValue},
    {"wqkv", Role::QueryKeyValue},
    {"in_proj_weight", Role::QueryKeyValue},
    {"att_proj", Role::QueryKeyValue},
    {"o_proj", Role::Output},
    {"out_proj", Role::Output},
    {"wo", Role::Output},
    {"attn_out", Role::Output},
    {"gate_proj", Role::Gate},
    {"w1", Role::Gate},
    {"up_proj", Role::Up},
    {"w3", Role::Up},
    {"fc1", Role::Up},
    {"c_fc", Role::Up},
    {"dense_h_to_4h", Role::Up},
    {"down_proj", Role::Down},
    {"w2", Role::Down},
    {"fc2", Role::Down},
    {"dense_4h_to_h", Role::Down},
    {"gate_up_proj", Role::GateUp},
    {"ff_proj", Role::GateUp},
    {"router", Role::Router},
    {"shared_expert_gate", Role::Router},
};

bool contains(std::string_view text, std::string_view part)
{
    return text.find(part) != std::string_view::npos;
}

bool isNorm(std::string_view module)
{
    std::string lower(module);
    std::transform(lower.begin(), lower.end(), lower.begin(),
        [](char character) { return static_cast<char>(std::tolower(static_cast<unsigned char>(character))); });
    return contains(lower, "norm") || lower.starts_with("ln_") || lower == "ln" || lower == "ln1" || lower == "ln2";
}

bool isAttention(std::string_view module)
{
    return contains(module, "attn") || contains(module, "attention") || module == "mixer";
}

/// Where a tensor's module stands: its name, the two components before it, and whether a block number came before.
struct Place {
    std::string_view module, parent, grandparent;
    bool inBlock = false;
};

/// Names that mean different things in different places.
Role roleInPlace(const Place& at)
{
    if (at.module == "c_proj")  // GPT-2, and Qwen 1
        return isAttention(at.parent) ? Role::Output : Role::Down;
    if (at.module == "dense") {
        if (isAttention(at.parent) || (at.parent == "output" && isAttention(at.grandparent)))
            return Role::Output;
        if (at.parent == "intermediate" || at.parent == "output")  // BERT
            return at.parent == "output" ? Role::Down : Role::Up;
    }
    if (at.module == "output" && !at.inBlock)
        return Role::LmHead;
    if (at.module == "ff_out")  // OLMo, Molmo
        return at.inBlock ? Role::Down : Role::LmHead;
    if (at.module == "gate" && at.inBlock && at.parent != "experts")
        return Role::Router;
    if (at.parent == "lm_head" || (at.module == "head" && at.parent == "shared_head"))
        return Role::LmHead;
    if (at.parent == "router" || (at.parent == "gate" && at.module == "wg"))
        return Role::Router;
    return Role::Other;
}

Role roleOf(const Place& at)
{
    if (isNorm(at.module))
        return Role::Norm;
    // Qwen 1 calls up and gate w1 and w2, in this order; everyone else's w2 is the way down.
    if (at.parent == "mlp" && at.inBlock && (at.module == "w1" || at.module == "w2"))
        return at.module == "w1" ? Role::Up : Role::Gate;
    for (const auto& [name, role] : kModules)
        if (name == at.module)
            return role;
    return roleInPlace(at);
}

/// Names that Keras gives to variables, whatever their layer.
std::optional<Role> roleOfKerasLeaf(std::string_view leaf)
{
    if (leaf == "gamma" || leaf == "beta" || leaf == "moving_mean" || leaf == "moving_variance")
        return Role::Norm;
    if (leaf == "embeddings")
        return Role::Embedding;
    return std::nullopt;
}

/// Index of the transformer block's number in the name.
std::optional<std::size_t> findBlock(const Components& name)
{
    static constexpr std::array kLists {"layers", "layer", "h", "blocks", "block", "decoder_layer"};
    for (std::size_t i = 1; i < name.size(); ++i)
        if (indexIn(name[i]) && std::find(kLists.begin(), kLists.end(), name[i - 1]) != kLists.end())
            return i;
    return std::nullopt;
}

/// "0" for a block of the language model itself; blocks of other towers keep their path: "vision_tower.encoder.0".
std::string blockLabel(const Components& name, std::size_t block)
{
    static constexpr std::array kUsual {"model", "transformer", "language_model", "decoder", "gpt_neox", "backbone"};
    std::string label;
    for (std::size_t i = 0; i + 1 < block; ++i)
        if (std::find(kUsual.begin(), kUsual.end(), name[i]) == kUsual.end())
            label += std::string(name[i]) + ".";
    return label + std::string(name[block]);
}

/// Vision and audio towers count their blocks from 0 again; only the language model's numbers are blocks here.
bool isOtherTower(std::string_view blockLabel)
{
    return contains(blockLabel, "vision") || contains(blockLabel, "visual") || contains(blockLabel, "audio")
        || contains(blockLabel, "speech") || contains(blockLabel, "image");
}

std::string groupOf(const Place& at, const NameParts& parts, const std::string& block)
{
    if (at.module == "q_a_proj" || at.module == "kv_a_proj_with_mqa")
        return block + ".attn.qkv_a";
    if (parts.role == Role::Key || parts.role == Role::Value || (parts.role == Role::Query && at.module != "q_b_proj"))
        return block + (contains(at.parent, "cross") || at.parent == "encoder_attn" ? ".cross_attn.qkv" : ".attn.qkv");
    const bool gated = at.module.starts_with("w") || at.module == "gate_proj" || at.module == "up_proj";
    if ((parts.role != Role::Gate && parts.role != Role::Up) || !gated)
        return {};
    if (parts.expert)
        return block + ".mlp.experts." + std::to_string(*parts.expert) + ".gate_up";
    return block
        + (parts.sharedExpert       ? ".mlp.shared_expert.gate_up"
                : parts.expertStack ? ".mlp.experts.gate_up"
                                    : ".mlp.gate_up");
}

NameParts readHuggingFaceName(const Components& name)
{
    NameParts parts;
    const auto block = findBlock(name);
    std::string label;
    if (block) {
        label = blockLabel(name, *block);
        if (!isOtherTower(label))
            parts.block = indexIn(name[*block]);
    }
    const auto experts = std::find(name.begin(), name.end(), "experts");
    if (experts != name.end() && std::next(experts) != name.end())
        parts.expert = indexIn(*std::next(experts));
    parts.sharedExpert =
        std::any_of(name.begin(), name.end(), [](std::string_view part) { return part.starts_with("shared_expert"); });

    auto leaf = name.back();
    if (leaf == "bias" || leaf.ends_with("_bias") || leaf.starts_with("bias_")) {
        parts.role = Role::Bias;
        return parts;
    }
    if (const auto role = roleOfKerasLeaf(leaf)) {
        parts.role = *role;
        return parts;
    }
    std::size_t module = name.size() - 1;
    if (name.size() >= 2 && (leaf == "weight" || leaf == "kernel" || leaf == "qweight" || leaf == "weight_packed"))
        --module;
    Place at {name[module], {}, {}, block && *block < module};
    if (at.module.ends_with("_blocks"))  // gpt-oss: packed expert stacks beside their scales
        at.module.remove_suffix(7);
    if (module >= 1)
        at.parent = name[module - 1];
    if (module >= 2)
        at.grandparent = name[module - 2];
    if (indexIn(at.parent) && block && *block != module - 1)  // "experts.3.w1"
        at.parent = at.grandparent;
    parts.role = roleOf(at);
    parts.expertStack = experts != name.end() && !parts.expert
        && (parts.role == Role::Gate || parts.role == Role::Up || parts.role == Role::Down
            || parts.role == Role::GateUp);
    if (block)
        parts.fusedGroup = groupOf(at, parts, label);
    return parts;
}

}  // namespace

std::string_view nameOf(TensorRole role)
{
    static constexpr std::array<std::string_view, 16> kNames {"embedding", "position", "lm_head", "q", "k", "v", "o",
        "qkv", "gate", "up", "down", "gate_up", "router", "norm", "bias", "other"};
    static_assert(kNames.size() == static_cast<std::size_t>(Role::Other) + 1);
    return kNames[static_cast<std::size_t>(role)];
}

NameParts readName(std::string_view tensorName)
{
    const auto components = componentsOf(tensorName);
    return isGgufName(components) ? readGgufName(components) : readHuggingFaceName(components);
}

}  // namespace quantloupe
