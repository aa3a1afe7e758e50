// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/protobuf_wire.h"

#include "core/base/byte_cursor.h"

namespace quantloupe {

bool takeVarint(Bytes& bytes, std::uint64_t& value)
{
    constexpr std::size_t kLongest = 10;
    value = 0;
    for (std::size_t i = 0; i < std::min(kLongest, bytes.size()); ++i) {
        const auto byte = std::to_integer<std::uint64_t>(bytes[i]);
        if (i + 1 == kLongest && byte > 1)  // more than 64 bits
            return false;
        value |= (byte & 0x7fU) << (7 * i);
        if (byte < 0x80U) {
            bytes = bytes.subspan(i + 1);
            return true;
        }
    }
    return false;
}

tl::unexpected<Error> WireReader::endsInside(Bytes at) const
{
    const auto messageEnd = m_file.offsetOf(at) + at.size();
    if (messageEnd == m_file.bytes.size())
        return failure(ErrorCode::Truncated, m_file.where, "the file ends inside a field", m_file.offsetOf(at));
    return m_file.malformed(at, "a field reaches out of the message it belongs to");
}

Result<WireField> WireReader::next()
{
    const auto start = m_rest;
    WireField field;
    std::uint64_t key = 0;
    if (!takeVarint(m_rest, key))
        return m_rest.size() < 10 ? endsInside(start) : m_file.malformed(start, "a key of more than 64 bits");
    const auto type = key & 7U;
    if (key >> 3U == 0 || key >> 3U > 0x1fff'ffffU)
        return m_file.malformed(start, "a field of number " + std::to_string(key >> 3U));
    if (type != 0 && type != 1 && type != 2 && type != 5)
        return m_file.malformed(start, "a field of wire type " + std::to_string(type) + ", which is not in use");
    field.number = static_cast<std::uint32_t>(key >> 3U);
    field.type = static_cast<WireField::Type>(type);

    if (field.type == WireField::Type::Fixed32 || field.type == WireField::Type::Fixed64) {
        ByteCursor cursor(m_rest);
        const bool wide = field.type == WireField::Type::Fixed64;
        const std::optional<std::uint64_t> number =
            wide ? cursor.read<std::uint64_t>() : std::optional<std::uint64_t>(cursor.read<std::uint32_t>());
        if (!number)
            return endsInside(start);
        field.value = *number;
        m_rest = m_rest.subspan(cursor.offset());
    } else {
        if (!takeVarint(m_rest, field.value))
            return m_rest.size() < 10 ? endsInside(start) : m_file.malformed(start, "a number of more than 64 bits");
        if (field.type == WireField::Type::Delimited) {
            if (field.value > m_rest.size())
                return endsInside(start);
            field.bytes = m_rest.first(field.value);
            m_rest = m_rest.subspan(field.value);
        }
    }
    field.at = start.first(start.size() - m_rest.size());
    return field;
}

}  // namespace quantloupe
