// SPDX-License-Identifier: GPL-3.0-or-later
// Zip archives built in memory by tests; every field can be wrong on purpose.
#pragma once

#include "tests/support/file_bytes.h"

#include <zlib.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace quantloupe::tests {

/// CRC-32 as its definition says, bit by bit.
inline std::uint32_t slowCrc32(std::string_view bytes)
{
    std::uint32_t rest = ~0U;
    for (const char byte : bytes) {
        rest ^= static_cast<unsigned char>(byte);
        for (int bit = 0; bit < 8; ++bit)
            rest = (rest >> 1U) ^ (rest & 1U ? 0xEDB88320U : 0U);
    }
    return ~rest;
}

/// A raw deflate stream; empty when the library fails.
inline std::string deflated(std::string bytes)
{
    z_stream stream {};
    if (deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return {};
    std::string packed(deflateBound(&stream, static_cast<uLong>(bytes.size())), '\0');
    stream.next_in = reinterpret_cast<Bytef*>(bytes.data());
    stream.avail_in = static_cast<uInt>(bytes.size());
    stream.next_out = reinterpret_cast<Bytef*>(packed.data());
    stream.avail_out = static_cast<uInt>(packed.size());
    const bool done = deflate(&stream, Z_FINISH) == Z_STREAM_END;
    packed.resize(done ? stream.total_out : 0);
    deflateEnd(&stream);
    return packed;
}

struct ZipMember {
    std::string name;
    std::string packed;          ///< as it lies in the archive
    std::uint64_t size = 0;      ///< as the directory says
    std::uint32_t checksum = 0;  ///< likewise
    std::uint16_t method = 0, flags = 0;
    std::string localName;  ///< in its own header
    std::uint16_t localMethod = 0;
    std::optional<std::uint64_t> packedSize;  ///< as the directory says, where wrong
    std::optional<std::uint64_t> header;      ///< likewise
    bool wide = false;                        ///< sizes and place in a zip64 field
};

struct ZipBuilder {
    std::vector<ZipMember> members;
    bool wideEnd = false;       ///< with the zip64 end record
    std::size_t alignment = 1;  ///< of members' data, by padding their headers as PyTorch does
    std::string comment, gap;   ///< `gap` lies between directory and end record
    std::optional<std::uint32_t> count, directorySize, directoryOffset;  ///< of the end record, where wrong

    ZipMember& store(std::string_view name, std::string_view bytes)
    {
        return members.emplace_back(ZipMember {std::string(name), std::string(bytes), bytes.size(), slowCrc32(bytes), 0,
            0, std::string(name), 0, {}, {}, false});
    }
    ZipMember& deflate(std::string_view name, std::string_view bytes)
    {
        return members.emplace_back(ZipMember {std::string(name), deflated(std::string(bytes)), bytes.size(),
            slowCrc32(bytes), 8, 0, std::string(name), 8, {}, {}, false});
    }

    std::string file() const
    {
        const auto u16 = [](auto value) { return raw(static_cast<std::uint16_t>(value)); };
        const auto u32 = [](auto value) { return raw(static_cast<std::uint32_t>(value)); };
        const auto u64 = [](auto value) { return raw(static_cast<std::uint64_t>(value)); };
        std::string bytes, directory;
        for (const auto& member : members) {
            const auto header = bytes.size();
            const auto start = header + 30 + member.localName.size();
            auto padding = (alignment - start % alignment) % alignment;
            if (padding > 0 && padding < 4)
                padding += alignment;
            bytes += "PK\3\4" + u16(20) + u16(member.flags) + u16(member.localMethod) + u32(0) + u32(member.checksum);
            bytes += u32(member.packed.size()) + u32(member.size) + u16(member.localName.size()) + u16(padding);
            bytes += member.localName;
            if (padding > 0)
                bytes += "FB" + u16(padding - 4) + std::string(padding - 4, 'Z');
            bytes += member.packed;

            const auto packedSize = member.packedSize.value_or(member.packed.size());
            const auto place = member.header.value_or(header);
            const auto extra =
                member.wide ? u16(1) + u16(24) + u64(member.size) + u64(packedSize) + u64(place) : std::string();
            directory += "PK\1\2" + u16(20) + u16(20) + u16(member.flags) + u16(member.method) + u32(0);
            directory += u32(member.checksum) + u32(member.wide ? 0xFFFFFFFFU : packedSize);
            directory += u32(member.wide ? 0xFFFFFFFFU : member.size) + u16(member.name.size()) + u16(extra.size());
            directory += u16(0) + u16(0) + u16(0) + u32(0) + u32(member.wide ? 0xFFFFFFFFU : place);
            directory += member.name + extra;
        }
        const auto start = bytes.size();
        bytes += directory + gap;
        if (wideEnd) {
            const auto record = bytes.size();
            bytes += "PK\6\6" + u64(44) + u16(45) + u16(45) + u32(0) + u32(0) + u64(members.size());
            bytes += u64(members.size()) + u64(directory.size()) + u64(start);
            bytes += "PK\6\7" + u32(0) + u64(record) + u32(1);
        }
        const auto listed = count.value_or(static_cast<std::uint32_t>(members.size()));
        bytes += "PK\5\6" + u16(0) + u16(0) + u16(listed) + u16(listed);
        bytes += u32(directorySize.value_or(static_cast<std::uint32_t>(directory.size())));
        bytes += u32(directoryOffset.value_or(static_cast<std::uint32_t>(start))) + u16(comment.size()) + comment;
        return bytes;
    }
};

}  // namespace quantloupe::tests
