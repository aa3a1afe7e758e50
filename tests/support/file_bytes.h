// SPDX-License-Identifier: GPL-3.0-or-later
// Checkpoints put together in memory, without Qt: tests and fuzz targets begin with them.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace quantloupe::tests {

/// A number as it lies in a file.
template<class Number>
std::string raw(Number number)
{
    static_assert(std::is_arithmetic_v<Number>);
    std::string bytes(sizeof(Number), '\0');
    std::memcpy(bytes.data(), &number, sizeof(Number));
    return bytes;
}

/// A safetensors file: length of `json`, `json`, `payload` zero bytes.
inline std::string safetensorsFile(std::string_view json, std::size_t payload)
{
    return raw(std::uint64_t {json.size()}).append(json).append(payload, '\0');
}

/// GGUF's text: u64 length, then the bytes.
inline std::string ggufText(std::string_view text)
{
    return raw(std::uint64_t {text.size()}).append(text);
}

/// A GGUF file put together piece by piece; every piece can be wrong on purpose.
struct GgufBuilder {
    std::uint32_t version = 3;
    std::int64_t tensorCount = 0;
    std::int64_t keyCount = 0;
    std::string keys, tensors;
    std::uint64_t nextOffset = 0;
    std::size_t alignment = 32;

    /// `type` is the number of a metadata type, `value` its bytes.
    GgufBuilder& key(std::string_view name, std::uint32_t type, std::string_view value)
    {
        ++keyCount;
        keys.append(ggufText(name)).append(raw(type)).append(value);
        return *this;
    }
    GgufBuilder& text(std::string_view name, std::string_view value) { return key(name, 8, ggufText(value)); }
    GgufBuilder& u32(std::string_view name, std::uint32_t value) { return key(name, 4, raw(value)); }

    /// `bytes` moves the offset of the tensor after this one.
    GgufBuilder& tensor(
        std::string_view name, const std::vector<std::int64_t>& dims, std::uint32_t type, std::uint64_t bytes)
    {
        return tensorAt(name, dims, type, bytes, nextOffset);
    }
    GgufBuilder& tensorAt(std::string_view name, const std::vector<std::int64_t>& dims, std::uint32_t type,
        std::uint64_t bytes, std::uint64_t offset)
    {
        ++tensorCount;
        tensors.append(ggufText(name)).append(raw(static_cast<std::uint32_t>(dims.size())));
        for (const auto extent : dims)
            tensors += raw(extent);
        tensors.append(raw(type)).append(raw(offset));
        nextOffset = offset + (bytes + alignment - 1) / alignment * alignment;
        return *this;
    }

    std::string header() const
    {
        return std::string("GGUF") + raw(version) + raw(tensorCount) + raw(keyCount) + keys + tensors;
    }
    /// The whole file with zeros for data; `missing` bytes are cut off its end.
    std::string file(std::size_t missing = 0) const
    {
        auto bytes = header();
        bytes.resize((bytes.size() + alignment - 1) / alignment * alignment + nextOffset, '\0');
        bytes.resize(bytes.size() - missing);
        return bytes;
    }
};

}  // namespace quantloupe::tests
