// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/packed_layouts/quantization_settings.h"

#include "core/base/json_events.h"
#include "core/base/text.h"

#include <algorithm>
#include <array>
#include <span>

namespace quantloupe {
namespace {

using Path = std::span<const std::string>;

bool isOneOf(std::string_view key, std::initializer_list<std::string_view> keys)
{
    return std::find(keys.begin(), keys.end(), key) != keys.end();
}

/// A field that says something about weights; `path` begins with its key.
void readWeightField(WeightSettings& weights, Path path, const JsonEvent& event)
{
    const auto& key = path[0];
    const bool number = event.kind == JsonEvent::Kind::Unsigned;
    if (path.size() == 2 && isOneOf(key, {"weight_block_size", "block_structure"}) && number
        && weights.block.size() < 2) {
        weights.block.push_back(event.number);
        return;
    }
    if (path.size() != 1)
        return;
    if (number && isOneOf(key, {"bits", "w_bit", "num_bits"}))
        weights.bits = event.number;
    else if (number && isOneOf(key, {"group_size", "q_group_size"}) && event.number > 0)
        weights.groupSize = event.number;
    else if (event.kind == JsonEvent::Kind::Boolean && isOneOf(key, {"sym", "symmetric"}))
        weights.symmetric = event.number != 0;
    else if (event.kind == JsonEvent::Kind::Text && key == "mode")
        weights.mode = shortened(event.text, 60);
}

class SettingsReader
{
public:
    explicit SettingsReader(QuantizationSettings& settings)
        : m_settings(&settings)
    {
    }

    /// `path`: below the object that holds the settings.
    void read(Path path, const JsonEvent& event)
    {
        if (path.empty())
            return;
        const auto& key = path[0];
        if (key == "config_groups") {
            readGroup(path.subspan(1), event);
            return;
        }
        if (path.size() == 1 && event.kind == JsonEvent::Kind::Text)
            readText(key, event);
        readWeightField(m_settings->weights, path, event);
        if (path.size() == 2 && event.kind != JsonEvent::Kind::Text)  // MLX: an object per module that differs
            readWeightField(m_settings->modules[key], path.subspan(1), event);
    }

private:
    void readText(const std::string& key, const JsonEvent& event)
    {
        auto value = shortened(event.text, 60);
        if (key == "quant_method")
            m_settings->method = std::move(value);
        else if (key == "checkpoint_format")
            m_settings->checkpointFormat = std::move(value);
        else if (key == "format" && m_settings->checkpointFormat.empty())
            m_settings->checkpointFormat = std::move(value);
        else if (key == "version")
            m_settings->version = std::move(value);
        else if (key == "linear_class")
            m_settings->linearClass = std::move(value);
    }

    void readGroup(Path path, const JsonEvent& event)
    {
        if (path.size() < 3 || path[1] != "weights")
            return;
        if (m_groupName != path[0]) {
            m_groupName = path[0];
            m_settings->groups.emplace_back();
        }
        readWeightField(m_settings->groups.back(), path.subspan(2), event);
    }

    QuantizationSettings* m_settings;
    std::string m_groupName {};
};

}  // namespace

Result<QuantizationSettings> parseQuantizationSettings(std::string_view text, const std::string& where)
{
    QuantizationSettings nested, alone;
    SettingsReader nestedReader(nested), aloneReader(alone);
    bool hasNested = false;
    const auto read = readJson(text, where, 0, [&](const JsonEvent& event) -> Result<void> {
        const auto& path = event.path;
        if (path.empty() && event.kind != JsonEvent::Kind::BeginObject && event.kind != JsonEvent::Kind::EndObject)
            return failure(ErrorCode::Malformed, where, "not a JSON object", event.offset);
        if (path.empty())
            return {};
        if (isOneOf(path[0], {"quantization_config", "quantization", "compression_config"})) {
            hasNested = hasNested || event.kind == JsonEvent::Kind::BeginObject;
            nestedReader.read(path.subspan(1), event);
        } else {
            aloneReader.read(path, event);
        }
        return {};
    });
    if (!read)
        return tl::unexpected(read.error());
    if (hasNested)
        return nested;
    // Only a file of its own has bits at its top; a config.json without quantization has none.
    return alone.weights.bits ? alone : QuantizationSettings {};
}

}  // namespace quantloupe
