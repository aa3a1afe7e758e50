// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/model/decoder_settings.h"

#include "core/base/json_events.h"
#include "core/base/text.h"

#include <array>
#include <map>
#include <utility>

namespace quantloupe {
namespace {

constexpr std::array<std::string_view, 3> kTextParts {"text_config", "language_config", "llm_config"};

/// The leaves of a configuration by their path, "rope_scaling.factor". Arrays by the path of their elements.
struct Leaves {
    std::map<std::string, double, std::less<>> numbers;
    std::map<std::string, bool, std::less<>> flags;
    std::map<std::string, std::string, std::less<>> texts;
    std::map<std::string, std::vector<double>, std::less<>> numberLists;
    std::map<std::string, std::vector<std::string>, std::less<>> textLists;

    void add(const std::string& key, bool element, const JsonEvent& event)
    {
        const bool number = event.kind == JsonEvent::Kind::Unsigned || event.kind == JsonEvent::Kind::Real;
        const double value = event.kind == JsonEvent::Kind::Real ? event.real : static_cast<double>(event.number);
        if (number && element)
            numberLists[key].push_back(value);
        else if (number)
            numbers[key] = value;
        else if (event.kind == JsonEvent::Kind::Boolean)
            flags[key] = event.number != 0;
        else if (event.kind == JsonEvent::Kind::Text && element)
            textLists[key].push_back(shortened(event.text, 60));
        else if (event.kind == JsonEvent::Kind::Text)
            texts[key] = shortened(event.text, 60);
    }

    using Keys = std::initializer_list<std::string_view>;

    template<class Value>
    static std::optional<Value> first(const std::map<std::string, Value, std::less<>>& map, Keys keys)
    {
        for (const auto key : keys)
            if (const auto found = map.find(key); found != map.end())
                return found->second;
        return std::nullopt;
    }
    std::optional<double> number(Keys keys) const { return first(numbers, keys); }
    std::optional<bool> flag(Keys keys) const { return first(flags, keys); }
    std::string text(Keys keys) const { return first(texts, keys).value_or(std::string()); }
    std::vector<double> list(Keys keys) const { return first(numberLists, keys).value_or(std::vector<double>()); }

    std::optional<std::uint64_t> whole(Keys keys) const
    {
        const auto value = number(keys);
        if (!value || *value < 0.0 || *value > 1e15
            || *value != static_cast<double>(static_cast<std::uint64_t>(*value)))
            return std::nullopt;
        return static_cast<std::uint64_t>(*value);
    }
};

/// "rope_scaling" until transformers 4, "rope_parameters" after it; there, families with two kinds of attention say it
/// for each.
RotaryScaling rotaryScaling(const Leaves& leaves)
{
    RotaryScaling scaling;
    for (const std::string prefix : {"rope_parameters.full_attention.", "rope_parameters.", "rope_scaling."}) {
        auto type = leaves.text({prefix + "rope_type", prefix + "type"});
        if (type.empty())
            continue;
        scaling.type = type == "su" ? "longrope" : std::move(type);
        scaling.factor = leaves.number({prefix + "factor"});
        scaling.originalContext = leaves.number({prefix + "original_max_position_embeddings"});
        scaling.attentionFactor = leaves.number({prefix + "attention_factor"});
        scaling.betaFast = leaves.number({prefix + "beta_fast"});
        scaling.betaSlow = leaves.number({prefix + "beta_slow"});
        scaling.lowFrequencyFactor = leaves.number({prefix + "low_freq_factor"});
        scaling.highFrequencyFactor = leaves.number({prefix + "high_freq_factor"});
        scaling.mscale = leaves.number({prefix + "mscale"});
        scaling.mscaleAllDimensions = leaves.number({prefix + "mscale_all_dim"});
        scaling.shortFactors = leaves.list({prefix + "short_factor"});
        scaling.longFactors = leaves.list({prefix + "long_factor"});
        scaling.truncates = leaves.flag({prefix + "truncate"}).value_or(true);
        break;
    }
    if (!scaling.originalContext)
        scaling.originalContext = leaves.number({"original_max_position_embeddings"});
    return scaling;
}

std::vector<bool> windowedLayers(const Leaves& leaves)
{
    std::vector<bool> windowed;
    if (const auto kinds = leaves.textLists.find("layer_types"); kinds != leaves.textLists.end())
        for (const auto& kind : kinds->second)
            windowed.push_back(kind == "sliding_attention");
    return windowed;
}

/// Settings that change the computation and that no family which is built switches on.
std::string unusualSetting(const Leaves& leaves)
{
    for (const auto* key : {"scale_attn_by_inverse_layer_idx", "add_cross_attention", "alibi", "use_qk_norm"})
        if (leaves.flag({key}).value_or(false))
            return key;
    if (leaves.flag({"scale_attn_weights"}) == false)
        return "scale_attn_weights";
    return {};
}

DecoderSettings settingsOf(const Leaves& leaves)
{
    DecoderSettings settings;
    settings.activation = leaves.text({"hidden_activation", "hidden_act", "activation_function"});
    settings.normEpsilon = leaves.number({"rms_norm_eps", "layer_norm_epsilon", "layer_norm_eps", "norm_eps"});
    settings.rotaryBase = leaves.number(
        {"rope_theta", "rope_parameters.full_attention.rope_theta", "rope_parameters.rope_theta", "rotary_emb_base"});
    settings.localRotaryBase = leaves.number({"rope_local_base_freq", "rope_parameters.sliding_attention.rope_theta"});
    settings.rotaryShare = leaves.number({"partial_rotary_factor", "rope_parameters.partial_rotary_factor"});
    settings.queryScale = leaves.number({"query_pre_attn_scalar"});
    settings.attentionCap = leaves.number({"attn_logit_softcapping"});
    settings.outputCap = leaves.number({"final_logit_softcapping"});
    settings.windowPattern = leaves.whole({"sliding_window_pattern"});
    if (leaves.flag({"use_sliding_window"}).value_or(false))
        settings.firstWindowedLayer = leaves.whole({"max_window_layers"});
    settings.noRotaryInterval = leaves.whole({"no_rope_layer_interval"});
    settings.normalizesExperts = leaves.flag({"norm_topk_prob"});
    settings.rotary = rotaryScaling(leaves);
    settings.windowedLayers = windowedLayers(leaves);
    for (const double rotates : leaves.list({"no_rope_layers"}))
        settings.rotaryLayers.push_back(rotates != 0.0);
    settings.unusual = unusualSetting(leaves);
    return settings;
}

bool isListOfInterest(std::string_view key)
{
    return key == "layer_types" || key == "no_rope_layers" || key.ends_with("short_factor")
        || key.ends_with("long_factor");
}

}  // namespace

Result<DecoderSettings> parseDecoderSettings(std::string_view text, const std::string& where)
{
    Leaves top, nested;
    const auto read = readJson(text, where, 0, [&](const JsonEvent& event) -> Result<void> {
        auto path = event.path;
        const bool inText =
            !path.empty() && std::find(kTextParts.begin(), kTextParts.end(), path[0]) != kTextParts.end();
        if (inText)
            path = path.subspan(1);
        if (path.empty() || path.size() > 4)
            return {};
        const bool element = path.back().empty();
        std::string key;
        for (std::size_t i = 0; i + (element ? 1 : 0) < path.size(); ++i)
            key.append(i == 0 ? "" : ".").append(path[i]);
        if (!element || isListOfInterest(key))
            (inText ? nested : top).add(key, element, event);
        return {};
    });
    if (!read)
        return tl::unexpected(read.error());
    const auto inherit = [](auto& inner, auto& outer) { inner.merge(outer); };
    inherit(nested.numbers, top.numbers);
    inherit(nested.flags, top.flags);
    inherit(nested.texts, top.texts);
    inherit(nested.numberLists, top.numberLists);
    inherit(nested.textLists, top.textLists);
    return settingsOf(nested);
}

}  // namespace quantloupe
