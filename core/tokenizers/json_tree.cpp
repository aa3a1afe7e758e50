// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/tokenizers/json_tree.h"

namespace quantloupe {
namespace {

constexpr std::size_t kMaxNodes = 500'000;

}  // namespace

const JsonNode* JsonNode::find(std::string_view key) const
{
    for (const auto& [name, value] : members)
        if (name == key)
            return value.kind == JsonEvent::Kind::Null ? nullptr : &value;
    return nullptr;
}

std::string_view JsonNode::textOf(std::string_view key) const
{
    const auto* member = find(key);
    return member && member->isText() ? std::string_view(member->text) : std::string_view {};
}

bool JsonNode::flagOf(std::string_view key, bool fallback) const
{
    const auto* member = find(key);
    return member && member->kind == JsonEvent::Kind::Boolean ? member->number != 0 : fallback;
}

Result<void> JsonTreeBuilder::add(const JsonEvent& event, const std::string& where)
{
    using Kind = JsonEvent::Kind;
    if (event.kind == Kind::EndObject || event.kind == Kind::EndArray) {
        m_open.pop_back();
        return {};
    }
    if (++m_count > kMaxNodes)
        return failure(ErrorCode::Malformed, where, "more than 500,000 values beside the vocabulary", event.offset);
    auto* node = &m_root;
    if (!m_open.empty()) {
        // Only the innermost open value gets new children; so those above it do not move.
        auto& parent = *m_open.back();
        if (parent.kind == Kind::BeginObject)
            node = &parent.members.emplace_back(event.path.back(), JsonNode {}).second;
        else
            node = &parent.items.emplace_back();
    }
    node->kind = event.kind;
    node->text = event.text;
    node->number = event.number;
    node->offset = event.offset;
    if (event.kind == Kind::BeginObject || event.kind == Kind::BeginArray)
        m_open.push_back(node);
    return {};
}

}  // namespace quantloupe
