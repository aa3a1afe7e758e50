// SPDX-License-Identifier: GPL-3.0-or-later
// Protocol Buffers as they lie on the wire, read where they lie: a library's message objects would copy the weights of
// a model, up to 2 GB. Source: interop notes, section 4.1.
#pragma once

#include "core/base/mapped_file.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace quantloupe {

/// One field of a message.
struct WireField {
    enum class Type : std::uint8_t { Varint = 0, Fixed64 = 1, Delimited = 2, Fixed32 = 5 };
    std::uint32_t number = 0;
    Type type = Type::Varint;
    std::uint64_t value = 0;  ///< of a varint or a fixed number
    Bytes bytes {};           ///< of a length-delimited field: text, a message, packed numbers
    Bytes at {};              ///< the whole field, key included

    std::string_view text() const { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
    std::int64_t number64() const { return static_cast<std::int64_t>(value); }
};

/// Takes a varint off the front of `bytes`; false when it does not end within ten bytes or the bytes given.
bool takeVarint(Bytes& bytes, std::uint64_t& value);

/// The file that messages are read from, for errors that say where.
struct WireFile {
    Bytes bytes;
    std::string where;

    std::uint64_t offsetOf(Bytes part) const
    {
        return part.data() ? static_cast<std::uint64_t>(part.data() - bytes.data()) : 0;
    }
    tl::unexpected<Error> malformed(Bytes at, std::string reason) const
    {
        return failure(ErrorCode::Malformed, where, std::move(reason), offsetOf(at));
    }
    tl::unexpected<Error> unsupported(Bytes at, std::string reason) const
    {
        return failure(ErrorCode::Unsupported, where, std::move(reason), offsetOf(at));
    }
};

/// Steps through the fields of one message, iteratively: messages inside it are fields of bytes, for another reader.
class WireReader
{
public:
    /// @pre `message` is part of file.bytes
    WireReader(const WireFile& file, Bytes message)
        : m_file(file)
        , m_rest(message)
    {
    }

    bool atEnd() const { return m_rest.empty(); }
    /// Errors: Truncated (the file ends inside the field), Malformed (it reaches out of its message, or is none).
    Result<WireField> next();

private:
    tl::unexpected<Error> endsInside(Bytes at) const;

    const WireFile& m_file;
    Bytes m_rest;
};

/// Calls `visit(field)`, which returns Result<void>, for every field of a message.
template<class Visit>
Result<void> visitFields(const WireFile& file, Bytes message, const Visit& visit)
{
    WireReader reader(file, message);
    while (!reader.atEnd()) {
        const auto field = reader.next();
        if (!field)
            return tl::unexpected(field.error());
        if (auto visited = visit(*field); !visited)
            return visited;
    }
    return {};
}

}  // namespace quantloupe
