// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/model/model_config.h"

#include "core/base/json_events.h"
#include "core/base/text.h"

#include <algorithm>
#include <array>
#include <map>

namespace quantloupe {
namespace {

/// The fields of one object level, by key: whole numbers, flags and texts. All else is of no interest here.
struct Fields {
    std::map<std::string, std::uint64_t, std::less<>> numbers;
    std::map<std::string, bool, std::less<>> flags;
    std::map<std::string, std::string, std::less<>> texts;

    void add(const JsonEvent& event)
    {
        const auto& key = event.path.back();
        if (event.kind == JsonEvent::Kind::Unsigned)
            numbers[key] = event.number;
        else if (event.kind == JsonEvent::Kind::Boolean)
            flags[key] = event.number != 0;
        else if (event.kind == JsonEvent::Kind::Text)
            texts[key] = shortened(event.text, 200);
    }

    /// The first of these keys that is there; families spell the same figure differently.
    std::optional<std::uint64_t> number(std::initializer_list<std::string_view> keys) const
    {
        for (const auto key : keys)
            if (const auto found = numbers.find(key); found != numbers.end())
                return found->second;
        return std::nullopt;
    }

    std::optional<bool> flag(std::string_view key) const
    {
        const auto found = flags.find(key);
        return found == flags.end() ? std::nullopt : std::optional(found->second);
    }
};

bool isTextPart(std::string_view key)
{
    return key == "text_config" || key == "language_config" || key == "llm_config";
}

ModelConfig figures(const Fields& fields)
{
    ModelConfig config;
    if (const auto type = fields.texts.find("model_type"); type != fields.texts.end())
        config.architecture = type->second;
    config.hiddenSize = fields.number({"hidden_size", "n_embd", "d_model", "dim"});
    config.layers = fields.number({"num_hidden_layers", "n_layer", "n_layers", "num_layers"});
    config.heads = fields.number({"num_attention_heads", "n_head", "n_heads"});
    config.keyValueHeads = fields.number({"num_key_value_heads", "num_kv_heads", "n_kv_heads", "n_head_kv"});
    config.headDimension = fields.number({"head_dim"});
    config.intermediateSize = fields.number({"intermediate_size", "n_inner", "ffn_hidden_size", "ffn_dim"});
    config.vocabulary = fields.number({"vocab_size", "padded_vocab_size"});
    config.contextLength =
        fields.number({"max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length"});
    config.experts = fields.number({"num_local_experts", "num_experts", "n_routed_experts"});
    config.expertsPerToken = fields.number({"num_experts_per_tok", "num_experts_per_token", "moe_top_k"});
    if (fields.flag("use_sliding_window").value_or(true))  // Qwen2 states a window and switches it off
        config.slidingWindow = fields.number({"sliding_window"});

    // Falcon 7B: one key and value head for all, said by a flag; from Falcon 40B on num_kv_heads counts.
    if (config.architecture == "falcon" || config.architecture == "RefinedWebModel") {
        if (fields.flag("multi_query").value_or(false) && !fields.flag("new_decoder_architecture").value_or(false))
            config.keyValueHeads = 1;
    }
    const std::array fourfold {"gpt2", "falcon", "RefinedWebModel", "RefinedWeb", "bloom"};
    if (!config.intermediateSize && config.hiddenSize && *config.hiddenSize < (std::uint64_t {1} << 60U)
        && std::find(fourfold.begin(), fourfold.end(), config.architecture) != fourfold.end())
        config.intermediateSize = 4 * *config.hiddenSize;
    return config;
}

/// Takes from `outer` what `inner` does not say.
template<class Value>
void inherit(std::optional<Value>& inner, const std::optional<Value>& outer)
{
    if (!inner)
        inner = outer;
}

ModelConfig merged(ModelConfig inner, const ModelConfig& outer)
{
    if (!outer.architecture.empty())
        inner.architecture = outer.architecture;
    inherit(inner.hiddenSize, outer.hiddenSize);
    inherit(inner.layers, outer.layers);
    inherit(inner.heads, outer.heads);
    inherit(inner.keyValueHeads, outer.keyValueHeads);
    inherit(inner.headDimension, outer.headDimension);
    inherit(inner.intermediateSize, outer.intermediateSize);
    inherit(inner.vocabulary, outer.vocabulary);
    inherit(inner.contextLength, outer.contextLength);
    inherit(inner.experts, outer.experts);
    inherit(inner.expertsPerToken, outer.expertsPerToken);
    inherit(inner.slidingWindow, outer.slidingWindow);
    return inner;
}

}  // namespace

void completeModelConfig(ModelConfig& config)
{
    if (!config.keyValueHeads)
        config.keyValueHeads = config.heads;
    if (!config.headDimension && config.hiddenSize && config.heads.value_or(0) > 0
        && *config.hiddenSize % *config.heads == 0)
        config.headDimension = *config.hiddenSize / *config.heads;
}

Result<ConfigFile> parseModelConfig(std::string_view text, const std::string& where)
{
    Fields top, nested;
    ConfigFile file;
    bool hasTextPart = false;
    const auto read = readJson(text, where, 0, [&](const JsonEvent& event) -> Result<void> {
        const auto& path = event.path;
        if (path.empty() && event.kind != JsonEvent::Kind::BeginObject && event.kind != JsonEvent::Kind::EndObject)
            return failure(ErrorCode::Malformed, where, "not a JSON object", event.offset);
        if (path.size() == 1) {
            top.add(event);
            hasTextPart |= event.kind == JsonEvent::Kind::BeginObject && isTextPart(path[0]);
        } else if (path.size() == 2 && isTextPart(path[0])) {
            nested.add(event);
        }
        return {};
    });
    if (!read)
        return tl::unexpected(read.error());

    file.config = figures(top);
    file.tied = top.flag("tie_word_embeddings");
    if (hasTextPart) {
        file.config = merged(figures(nested), file.config);
        inherit(file.tied, nested.flag("tie_word_embeddings"));
    }
    completeModelConfig(file.config);
    file.config.tiedEmbeddings = file.tied.value_or(false);
    return file;
}

}  // namespace quantloupe
