// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/checkpoints/hf_to_gguf.h"

#include <array>
#include <cmath>
#include <numbers>

namespace quantloupe {
namespace {

struct ArchitectureName {
    std::string_view modelType, gguf;
};
constexpr std::array<ArchitectureName, 6> kArchitectures {{
    {"llama", "llama"},
    {"mistral", "llama"},
    {"mixtral", "llama"},
    {"qwen2", "qwen2"},
    {"qwen3", "qwen3"},
    {"gemma", "gemma"},
}};

/// Figures without which nothing can run.
Result<void> requireFigures(const ModelConfig& config, const std::string& where)
{
    const std::array<std::pair<const char*, const std::optional<std::uint64_t>*>, 5> needed {{
        {"num_hidden_layers", &config.layers},
        {"hidden_size", &config.hiddenSize},
        {"intermediate_size", &config.intermediateSize},
        {"num_attention_heads", &config.heads},
        {"max_position_embeddings", &config.contextLength},
    }};
    for (const auto& [key, value] : needed)
        if (!*value)
            return failure(ErrorCode::Unsupported, where, std::string("config.json does not say ") + key);
    return {};
}

Result<void> addRotaryScaling(GgufFields& fields, const std::string& prefix, const Model& model)
{
    const auto& rotary = model.settings.rotary;
    if (rotary.type.empty() || rotary.type == "default" || rotary.type == "llama3")
        return {};
    if (rotary.type != "linear" && rotary.type != "yarn")
        return failure(ErrorCode::Unsupported, model.path.string(),
            "rotary scaling of type " + rotary.type + " cannot be said in GGUF here: convert it with llama.cpp");
    fields.set(ggufText(prefix + "rope.scaling.type", rotary.type));
    fields.set(ggufReal(prefix + "rope.scaling.factor", rotary.factor.value_or(1.0)));
    if (rotary.originalContext)
        fields.set(ggufWhole(
            prefix + "rope.scaling.original_context_length", static_cast<std::uint64_t>(*rotary.originalContext)));
    return {};
}

}  // namespace

std::string_view ggufArchitecture(std::string_view modelType)
{
    for (const auto& row : kArchitectures)
        if (row.modelType == modelType)
            return row.gguf;
    return {};
}

Result<GgufFields> ggufMetadata(const Model& model)
{
    const auto& config = model.config;
    const auto architecture = ggufArchitecture(config.architecture);
    if (architecture.empty())
        return failure(ErrorCode::Unsupported, model.path.string(),
            "architecture '" + config.architecture
                + "' cannot be converted to GGUF here: convert it with llama.cpp first, then export that file");
    if (auto known = requireFigures(config, model.path.string()); !known)
        return tl::unexpected(known.error());
    const auto prefix = std::string(architecture) + ".";
    const auto headDimension =
        config.headDimension.value_or(*config.hiddenSize / std::max<std::uint64_t>(1, *config.heads));
    GgufFields fields;
    fields.set(ggufText("general.architecture", architecture));
    fields.set(ggufText("general.type", "model"));
    fields.set(
        ggufText("general.name", (model.path.has_filename() ? model.path : model.path.parent_path()).stem().string()));
    fields.set(ggufWhole(prefix + "block_count", *config.layers));
    fields.set(ggufWhole(prefix + "context_length", *config.contextLength));
    fields.set(ggufWhole(prefix + "embedding_length", *config.hiddenSize));
    fields.set(ggufWhole(prefix + "feed_forward_length", *config.intermediateSize));
    fields.set(ggufWhole(prefix + "attention.head_count", *config.heads));
    fields.set(ggufWhole(prefix + "attention.head_count_kv", config.keyValueHeads.value_or(*config.heads)));
    fields.set(ggufReal(prefix + "attention.layer_norm_rms_epsilon", model.settings.normEpsilon.value_or(1e-6)));
    fields.set(ggufWhole(prefix + "attention.key_length", headDimension));
    fields.set(ggufWhole(prefix + "attention.value_length", headDimension));
    fields.set(ggufReal(prefix + "rope.freq_base", model.settings.rotaryBase.value_or(10'000.0)));
    if (architecture == "llama")
        fields.set(ggufWhole(prefix + "rope.dimension_count", model.settings.rotaryDimensions.value_or(headDimension)));
    if (config.vocabulary)
        fields.set(ggufWhole(prefix + "vocab_size", *config.vocabulary));
    if (config.experts)
        fields.set(ggufWhole(prefix + "expert_count", *config.experts));
    if (config.expertsPerToken)
        fields.set(ggufWhole(prefix + "expert_used_count", *config.expertsPerToken));
    if (auto scaled = addRotaryScaling(fields, prefix, model); !scaled)
        return tl::unexpected(scaled.error());
    return fields;
}

std::vector<float> rotaryDivisors(const Model& model)
{
    const auto& rotary = model.settings.rotary;
    const auto dimension = model.config.headDimension.value_or(0);
    if (rotary.type != "llama3" || dimension == 0)
        return {};
    const double factor = rotary.factor.value_or(8.0), low = rotary.lowFrequencyFactor.value_or(1.0),
                 high = rotary.highFrequencyFactor.value_or(4.0), context = rotary.originalContext.value_or(8192.0);
    std::vector<float> divisors;
    for (std::uint64_t i = 0; i < dimension; i += 2) {
        const double frequency = std::pow(
            model.settings.rotaryBase.value_or(10'000.0), -static_cast<double>(i) / static_cast<double>(dimension));
        const double wave = 2.0 * std::numbers::pi / frequency;
        const double smooth = (context / wave - low) / (high - low);
        divisors.push_back(static_cast<float>(wave < context / high ? 1.0
                : wave > context / low                              ? factor
                                                                    : 1.0 / ((1.0 - smooth) / factor + smooth)));
    }
    return divisors;
}

}  // namespace quantloupe
