// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/mapped_file.h"

#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>
#include <type_traits>

namespace quantloupe {

static_assert(std::endian::native == std::endian::little, "readers take numbers from files as they lie there");

/// Walks through little-endian bytes and never past their end: a read that does not fit gives nullopt and moves
/// nothing.
class ByteCursor
{
public:
    explicit ByteCursor(Bytes bytes)
        : m_bytes(bytes)
    {
    }

    std::uint64_t offset() const { return m_offset; }
    std::uint64_t remaining() const { return m_bytes.size() - m_offset; }

    template<class Number>
    std::optional<Number> read()
    {
        static_assert(std::is_arithmetic_v<Number>);
        const auto bytes = take(sizeof(Number));
        if (!bytes)
            return std::nullopt;
        Number number;
        std::memcpy(&number, bytes->data(), sizeof(Number));
        return number;
    }

    std::optional<Bytes> take(std::uint64_t count)
    {
        if (count > remaining())
            return std::nullopt;
        const auto bytes = m_bytes.subspan(m_offset, count);
        m_offset += count;
        return bytes;
    }

    /// Length as u64, then that many bytes.
    std::optional<std::string_view> readText()
    {
        const auto start = m_offset;
        if (const auto length = read<std::uint64_t>())
            if (const auto bytes = take(*length))
                return std::string_view(reinterpret_cast<const char*>(bytes->data()), bytes->size());
        m_offset = start;
        return std::nullopt;
    }

private:
    Bytes m_bytes;
    std::uint64_t m_offset = 0;
};

}  // namespace quantloupe
