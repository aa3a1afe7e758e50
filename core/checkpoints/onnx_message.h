// SPDX-License-Identifier: GPL-3.0-or-later
// Messages of Protocol Buffers, written. Source: interop notes, section 4.1. For use inside this room.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace quantloupe {

inline void putVarint(std::string& bytes, std::uint64_t value)
{
    for (; value >= 0x80U; value >>= 7U)
        bytes.push_back(static_cast<char>((value & 0x7fU) | 0x80U));
    bytes.push_back(static_cast<char>(value));
}

/// The key of a field and its length, without its bytes.
inline std::string delimitedHead(std::uint32_t field, std::uint64_t length)
{
    std::string head;
    putVarint(head, std::uint64_t {field} << 3U | 2U);
    putVarint(head, length);
    return head;
}

inline void putDelimited(std::string& bytes, std::uint32_t field, std::string_view content)
{
    bytes += delimitedHead(field, content.size());
    bytes += content;
}

inline void putNumber(std::string& bytes, std::uint32_t field, std::uint64_t value)
{
    putVarint(bytes, std::uint64_t {field} << 3U);
    putVarint(bytes, value);
}

}  // namespace quantloupe
