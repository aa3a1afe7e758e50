// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/checkpoints/gguf_container.h"

#include <algorithm>

namespace quantloupe {
namespace {

constexpr std::size_t longestName = 63;

template<class T>
void put(std::string& bytes, T value)
{
    bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void putText(std::string& bytes, std::string_view text)
{
    put(bytes, std::uint64_t {text.size()});
    bytes.append(text);
}

void putType(std::string& bytes, GgufType type)
{
    put(bytes, static_cast<std::uint32_t>(type));
}

template<class T>
GgufField scalar(std::string key, GgufType type, T value)
{
    GgufField field {std::move(key), {}};
    putType(field.encoded, type);
    put(field.encoded, value);
    return field;
}

template<class T, class Put>
GgufField array(std::string key, GgufType type, const std::vector<T>& values, const Put& putOne)
{
    GgufField field {std::move(key), {}};
    putType(field.encoded, GgufType::Array);
    putType(field.encoded, type);
    put(field.encoded, std::uint64_t {values.size()});
    for (const auto& value : values)
        putOne(field.encoded, value);
    return field;
}

std::uint64_t roundedUp(std::uint64_t size, std::uint64_t alignment)
{
    return (size + alignment - 1) / alignment * alignment;
}

Result<void> putTensor(std::string& bytes, const StoredTensor& tensor, std::uint64_t offset)
{
    const auto type = ggufTypeNumber(tensor.dtype);
    if (!type)
        return failure(ErrorCode::Unsupported, tensor.name, "GGUF has no type " + std::string(nameOf(tensor.dtype)));
    if (tensor.name.size() > longestName || tensor.name.empty())
        return failure(ErrorCode::Unsupported, tensor.name, "GGUF takes names of at most 63 bytes");
    if (tensor.shape.size() > 4)
        return failure(ErrorCode::Unsupported, tensor.name, "GGUF takes at most four extents");
    putText(bytes, tensor.name);
    // A scalar is a vector of one there.
    const auto shape = tensor.shape.empty() ? Shape {1} : tensor.shape;
    put(bytes, static_cast<std::uint32_t>(shape.size()));
    for (auto extent = shape.rbegin(); extent != shape.rend(); ++extent)
        put(bytes, *extent);
    put(bytes, *type);
    put(bytes, offset);
    return {};
}

}  // namespace

GgufField ggufText(std::string key, std::string_view text)
{
    GgufField field {std::move(key), {}};
    putType(field.encoded, GgufType::Text);
    putText(field.encoded, text);
    return field;
}

GgufField ggufBool(std::string key, bool value)
{
    return scalar(std::move(key), GgufType::Bool, static_cast<std::uint8_t>(value ? 1 : 0));
}

GgufField ggufWhole(std::string key, std::uint64_t value)
{
    return scalar(std::move(key), GgufType::U32, static_cast<std::uint32_t>(value));
}

GgufField ggufReal(std::string key, double value)
{
    return scalar(std::move(key), GgufType::F32, static_cast<float>(value));
}

GgufField ggufTexts(std::string key, const std::vector<std::string>& texts)
{
    return array(std::move(key), GgufType::Text, texts,
        [](std::string& bytes, const std::string& text) { putText(bytes, text); });
}

GgufField ggufReals(std::string key, const std::vector<float>& values)
{
    return array(std::move(key), GgufType::F32, values, [](std::string& bytes, float value) { put(bytes, value); });
}

GgufField ggufWholes(std::string key, const std::vector<std::int32_t>& values)
{
    return array(
        std::move(key), GgufType::I32, values, [](std::string& bytes, std::int32_t value) { put(bytes, value); });
}

GgufField ggufCopy(const GgufEntry& entry)
{
    GgufField field {entry.key, {}};
    putType(field.encoded, entry.value.type);
    if (entry.value.type == GgufType::Array) {
        putType(field.encoded, entry.value.elementType);
        put(field.encoded, entry.value.count);
    } else if (entry.value.type == GgufType::Text) {
        put(field.encoded, std::uint64_t {entry.value.bytes.size()});
    }
    field.encoded.append(reinterpret_cast<const char*>(entry.value.bytes.data()), entry.value.bytes.size());
    return field;
}

void GgufFields::set(GgufField field)
{
    const auto found =
        std::find_if(m_fields.begin(), m_fields.end(), [&](const GgufField& known) { return known.key == field.key; });
    if (found == m_fields.end())
        m_fields.push_back(std::move(field));
    else
        *found = std::move(field);
}

Result<void> layOutGguf(CheckpointDraft& draft, const GgufFields& metadata, std::uint64_t alignment)
{
    constexpr std::uint32_t version = 3;
    std::string head("GGUF");
    put(head, version);
    put(head, std::uint64_t {draft.stored.size()});
    put(head, std::uint64_t {metadata.all().size()});
    for (const auto& field : metadata.all()) {
        putText(head, field.key);
        head += field.encoded;
    }
    std::uint64_t offset = 0;
    for (const auto& tensor : draft.stored) {
        draft.places.push_back({0, offset});
        if (auto done = putTensor(head, tensor, offset); !done)
            return done;
        offset += roundedUp(tensor.bytes, alignment);
    }
    head.resize(static_cast<std::size_t>(roundedUp(head.size(), alignment)), '\0');
    for (auto& place : draft.places)
        place.offset += head.size();
    const auto size = head.size() + offset;
    draft.files.push_back({.name = {}, .size = size, .literals = {{0, std::move(head)}}});
    return {};
}

}  // namespace quantloupe
