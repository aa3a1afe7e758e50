// SPDX-License-Identifier: GPL-3.0-or-later
// ONNX files put together piece by piece; every piece can be wrong on purpose.
#pragma once

#include "tests/support/file_bytes.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace quantloupe::tests {

inline std::string varint(std::uint64_t value)
{
    std::string bytes;
    for (; value >= 0x80; value >>= 7U)
        bytes.push_back(static_cast<char>(value | 0x80U));
    bytes.push_back(static_cast<char>(value));
    return bytes;
}

/// A field whose value is a number.
inline std::string number(std::uint32_t field, std::int64_t value)
{
    return varint(std::uint64_t {field} << 3U) + varint(static_cast<std::uint64_t>(value));
}

/// A field whose value is text, a message or packed numbers.
inline std::string bytes(std::uint32_t field, std::string_view content)
{
    return (varint(std::uint64_t {field} << 3U | 2U) + varint(content.size())).append(content);
}

template<class Number>
std::string rawList(const std::vector<Number>& numbers)
{
    std::string all;
    for (const auto one : numbers)
        all += raw(one);
    return all;
}

/// TensorProto up to its numbers, which `rest` holds: bytes(9, …) is raw_data.
inline std::string onnxTensor(
    std::string_view name, int type, const std::vector<std::int64_t>& extents, std::string_view rest)
{
    std::string message;
    for (const auto extent : extents)
        message += number(1, extent);
    return (message + number(2, type) + bytes(8, name)).append(rest);
}

inline std::string entry(std::string_view key, std::string_view value)
{
    return bytes(1, key) + bytes(2, value);
}

/// A tensor whose numbers lie in another file.
inline std::string externalTensor(std::string_view name, int type, const std::vector<std::int64_t>& extents,
    std::string_view location, std::string_view offset = "0")
{
    return onnxTensor(name, type, extents,
        bytes(13, entry("location", location)) + bytes(13, entry("offset", offset)) + number(14, 1));
}

inline std::string attribute(std::string_view name, std::int64_t value)
{
    return bytes(5, bytes(1, name) + number(3, value) + number(20, 2));
}

inline std::string attribute(std::string_view name, const std::vector<std::int64_t>& values)
{
    std::string packed;
    for (const auto value : values)
        packed += varint(static_cast<std::uint64_t>(value));
    return bytes(5, bytes(1, name) + bytes(8, packed) + number(20, 7));
}

struct OnnxBuilder {
    std::string graph;

    OnnxBuilder& tensor(std::string_view message)
    {
        graph += bytes(5, message);
        return *this;
    }
    template<class Number>
    OnnxBuilder& tensor(
        std::string_view name, int type, const std::vector<std::int64_t>& extents, const std::vector<Number>& numbers)
    {
        return tensor(onnxTensor(name, type, extents, bytes(9, rawList(numbers))));
    }
    /// `attributes` are made by attribute().
    OnnxBuilder& node(std::string_view type, const std::vector<std::string>& inputs, std::string_view output,
        std::string_view attributes = {}, std::string_view name = {}, std::string_view domain = {})
    {
        std::string message;
        for (const auto& input : inputs)
            message += bytes(1, input);
        message += bytes(2, output) + bytes(3, name) + bytes(4, type) + bytes(7, domain);
        graph += bytes(1, message.append(attributes));
        return *this;
    }
    std::string file() const
    {
        return number(1, 8) + bytes(2, "tests") + bytes(7, graph) + bytes(8, bytes(1, "") + number(2, 21));
    }
};

}  // namespace quantloupe::tests
