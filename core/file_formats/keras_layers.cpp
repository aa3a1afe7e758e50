// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/keras_layers.h"

#include "core/base/json_events.h"

#include <cctype>
#include <map>
#include <utility>

namespace quantloupe {
namespace {

constexpr std::size_t kMaxKerasLayers = 1'000'000;

bool isLowerLetter(char character)
{
    return character >= 'a' && character <= 'z';
}

bool isUpperLetter(char character)
{
    return character >= 'A' && character <= 'Z';
}

/// Gathers objects that have a `class_name` and a `config` into the tree they make.
class KerasLayerTree
{
public:
    explicit KerasLayerTree(std::string where)
        : m_where(std::move(where))
    {
    }

    Result<void> take(const JsonEvent& event)
    {
        using Kind = JsonEvent::Kind;
        const auto key = [&](std::size_t fromEnd) {
            return event.path.size() > fromEnd ? std::string_view(event.path[event.path.size() - 1 - fromEnd])
                                               : std::string_view();
        };
        if (event.kind == Kind::BeginObject) {
            m_open.emplace_back();
        } else if (event.kind == Kind::EndObject) {
            auto done = std::move(m_open.back());
            m_open.pop_back();
            if (m_open.empty())
                m_root = std::move(done);
            else if (!done.className.empty()) {
                if (++m_count > kMaxKerasLayers)
                    return failure(ErrorCode::Unsupported, m_where, "describes more than a million layers");
                attach(std::move(done), event.path);
            }
        } else if (event.kind == Kind::Text && key(0) == "class_name" && !m_open.empty()) {
            m_open.back().className = event.text;
        } else if (event.kind == Kind::Text && key(0) == "name" && key(1) == "config" && m_open.size() >= 2) {
            m_open[m_open.size() - 2].name = event.text;
        }
        return {};
    }

    KerasLayer root() { return std::move(m_root); }

private:
    void attach(KerasLayer layer, std::span<const std::string> path)
    {
        const auto endsWith = [&](std::initializer_list<std::string_view> end) {
            return path.size() >= end.size()
                && std::equal(end.begin(), end.end(), path.end() - static_cast<std::ptrdiff_t>(end.size()));
        };
        // The innermost open object is the `config` of the layer around, or, with the bare list of Keras 1, that layer.
        if (endsWith({"config", "layers", ""}) && m_open.size() >= 2)
            m_open[m_open.size() - 2].layers.push_back(std::move(layer));
        else if (endsWith({"config", ""}))
            m_open.back().layers.push_back(std::move(layer));
        else if (endsWith({"config", "layer"}) && m_open.size() >= 2)
            m_open[m_open.size() - 2].wrapped.push_back(std::move(layer));
    }

    std::string m_where;
    std::size_t m_count = 0;
    std::vector<KerasLayer> m_open;
    KerasLayer m_root;
};

}  // namespace

std::string KerasLayer::kind() const
{
    std::string snake;
    for (std::size_t i = 0; i < className.size(); ++i) {
        const bool starts = i > 0 && isUpperLetter(className[i])
            && (isLowerLetter(className[i - 1]) || (i + 1 < className.size() && isLowerLetter(className[i + 1])));
        if (starts)
            snake += '_';
        snake += static_cast<char>(std::tolower(static_cast<unsigned char>(className[i])));
    }
    return snake;
}

KerasLayerIndex::KerasLayerIndex(const KerasLayer& model)
{
    add(model);
}

// As deep as the text it was read from, of which that is bounded.
void KerasLayerIndex::add(const KerasLayer& layer)
{
    std::map<std::string, std::size_t> seen;
    for (const auto& inside : layer.layers) {
        const auto kind = inside.kind();
        const auto before = seen[kind]++;
        m_byKey.emplace(std::pair(&layer, before == 0 ? kind : kind + "_" + std::to_string(before)), &inside);
        m_byName.emplace(inside.name, &inside);
        add(inside);
    }
    for (const auto& inside : layer.wrapped)
        add(inside);
}

const KerasLayer* KerasLayerIndex::byKey(const KerasLayer& around, std::string_view key) const
{
    const auto found = m_byKey.find({&around, std::string(key)});
    return found == m_byKey.end() ? nullptr : found->second;
}

const KerasLayer* KerasLayerIndex::byName(std::string_view name) const
{
    const auto found = m_byName.find(name);
    return found == m_byName.end() ? nullptr : found->second;
}

Result<KerasLayer> parseKerasConfig(std::string_view json, const std::string& where)
{
    KerasLayerTree tree(where);
    auto read = readJson(json, where, 0, [&](const JsonEvent& event) { return tree.take(event); });
    if (!read)
        return tl::unexpected(std::move(read.error()));
    return tree.root();
}

}  // namespace quantloupe
