// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/flat_buffer.h"

namespace quantloupe {

FlatFile::FlatFile(Bytes bytes, std::string where)
    : m_bytes(bytes)
    , m_where(std::move(where))
{
}

FlatFile::Table FlatFile::root()
{
    return follow(0);
}

FlatFile::Table FlatFile::table(Table table, unsigned field)
{
    const auto at = fieldAt(table, field);
    return at == 0 ? 0 : follow(at);
}

FlatFile::Vector FlatFile::vector(Table table, unsigned field, std::uint64_t elementBytes)
{
    const auto at = fieldAt(table, field);
    const auto start = at == 0 ? 0 : follow(at);
    if (start == 0)
        return {};
    Vector vector {.offset = start + 4, .count = read<std::uint32_t>(start)};
    if (failed() || vector.count > (m_bytes.size() - vector.offset) / elementBytes) {
        leadsOut(start);
        return {};
    }
    vector.bytes = m_bytes.subspan(vector.offset, vector.count * elementBytes);
    return vector;
}

std::string_view FlatFile::text(Table table, unsigned field)
{
    const auto found = vector(table, field, 1);
    return {reinterpret_cast<const char*>(found.bytes.data()), found.bytes.size()};
}

std::uint64_t FlatFile::fieldAt(Table table, unsigned field)
{
    if (table == 0 || failed())
        return 0;
    // The table begins with the distance back to its list of field offsets, which begins with its own size.
    const auto back = read<std::int32_t>(table);
    const auto list = static_cast<std::int64_t>(table) - back;
    if (list < 0) {
        leadsOut(table);
        return 0;
    }
    const auto start = static_cast<std::uint64_t>(list);
    const auto slot = std::uint64_t {4} + std::uint64_t {2} * field;
    if (slot + 2 > read<std::uint16_t>(start))
        return 0;
    const auto offset = read<std::uint16_t>(start + slot);
    return offset == 0 || failed() ? 0 : table + offset;
}

std::uint64_t FlatFile::follow(std::uint64_t at)
{
    const auto distance = read<std::uint32_t>(at);
    if (failed())
        return 0;
    const auto target = at + distance;
    if (distance == 0 || target >= m_bytes.size()) {
        leadsOut(at);
        return 0;
    }
    return target;
}

void FlatFile::leadsOut(std::uint64_t at)
{
    if (!m_error)
        m_error = Error {ErrorCode::Truncated, m_where, at, "a reference leads out of the file"};
}

tl::unexpected<Error> FlatFile::malformed(std::uint64_t at, std::string reason) const
{
    return failure(ErrorCode::Malformed, m_where, std::move(reason), at);
}

}  // namespace quantloupe
