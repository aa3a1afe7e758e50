// SPDX-License-Identifier: GPL-3.0-or-later
// FlatBuffers read where they lie, every step checked. Source: flatbuffers.dev, "Internals".
#pragma once

#include "core/base/mapped_file.h"

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace quantloupe {

/// A file of tables that refer to each other by offsets. The first reference that leads out of the file is kept as the
/// error; what is read after that is empty. So readers ask once at the end of each step.
class FlatFile
{
public:
    /// A run of numbers, texts' bytes or references.
    struct Vector {
        std::uint64_t offset = 0;  ///< of the first element
        std::uint32_t count = 0;
        Bytes bytes {};  ///< of elements that are numbers
    };
    /// Stands at a table; position 0 is no table.
    using Table = std::uint64_t;

    FlatFile(Bytes bytes, std::string where);

    Table root();
    /// Numbers that a table holds itself; absent ones as `otherwise`.
    template<class Number>
    Number number(Table table, unsigned field, Number otherwise)
    {
        const auto at = fieldAt(table, field);
        return at == 0 ? otherwise : read<Number>(at);
    }
    Table table(Table table, unsigned field);
    /// `elementBytes` is 4 for references.
    Vector vector(Table table, unsigned field, std::uint64_t elementBytes);
    std::string_view text(Table table, unsigned field);
    /// Element of a vector of tables.
    Table tableAt(const Vector& vector, std::uint32_t index)
    {
        return follow(vector.offset + std::uint64_t {4} * index);
    }
    template<class Number>
    Number numberAt(const Vector& vector, std::uint32_t index)
    {
        return read<Number>(vector.offset + sizeof(Number) * std::uint64_t {index});
    }

    bool failed() const { return m_error.has_value(); }
    tl::unexpected<Error> error() const { return tl::unexpected<Error>(*m_error); }
    tl::unexpected<Error> malformed(std::uint64_t at, std::string reason) const;

private:
    template<class Number>
    Number read(std::uint64_t at)
    {
        Number number {};
        if (sizeof(Number) > m_bytes.size() || at > m_bytes.size() - sizeof(Number))
            leadsOut(at);
        else
            std::memcpy(&number, m_bytes.data() + at, sizeof(Number));
        return number;
    }
    std::uint64_t fieldAt(Table table, unsigned field);
    std::uint64_t follow(std::uint64_t at);
    void leadsOut(std::uint64_t at);

    Bytes m_bytes;
    std::string m_where;
    std::optional<Error> m_error;
};

}  // namespace quantloupe
