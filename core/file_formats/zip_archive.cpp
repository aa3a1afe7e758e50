// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/zip_archive.h"

#include "core/base/text.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include <zlib.h>

namespace quantloupe {
namespace {

constexpr std::size_t kPieceIn = std::size_t {1} << 20U, kPieceOut = std::size_t {256} << 10U;

std::string whereIs(const MappedFile& file, const ZipEntry& entry)
{
    return file.path().string() + ", member " + inQuotes(entry.name);
}

/// zlib's state, given back on every way out.
struct Inflater {
    z_stream stream {};
    bool ready = inflateInit2(&stream, -MAX_WBITS) == Z_OK;  // without zlib's own header
    Inflater() = default;
    Inflater(const Inflater&) = delete;
    Inflater& operator=(const Inflater&) = delete;
    ~Inflater()
    {
        if (ready)
            inflateEnd(&stream);
    }
};

/// Unpacks a deflated member and hands its bytes on, piece by piece, until it ends or `sink` fails.
Result<void> inflateMember(const MappedFile& file, const ZipEntry& entry, const ByteSink& sink)
{
    const auto broken = [&](const char* reason) {
        return failure(ErrorCode::Malformed, whereIs(file, entry), reason, entry.offset);
    };
    Inflater inflater;
    if (!inflater.ready)
        return failure(ErrorCode::Internal, whereIs(file, entry), "zlib cannot be started");
    auto& stream = inflater.stream;
    auto packed = file.bytes().subspan(entry.offset, entry.packedSize);
    Bytes piece;
    std::vector<std::byte> out(kPieceOut);
    for (int state = Z_OK; state != Z_STREAM_END;) {
        if (stream.avail_in == 0) {
            if (packed.empty())
                return broken("its packed bytes end too soon");
            file.release(piece);
            piece = packed.first(std::min(kPieceIn, packed.size()));
            packed = packed.subspan(piece.size());
            // zlib reads through a pointer to what is not const, and writes nothing there.
            stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(piece.data()));
            stream.avail_in = static_cast<uInt>(piece.size());
        }
        stream.next_out = reinterpret_cast<Bytef*>(out.data());
        stream.avail_out = static_cast<uInt>(out.size());
        state = inflate(&stream, Z_NO_FLUSH);
        if (state != Z_OK && state != Z_STREAM_END && state != Z_BUF_ERROR)
            return broken("its packed bytes are damaged");
        const Bytes unpacked = Bytes(out).first(out.size() - stream.avail_out);
        if (!unpacked.empty())
            if (auto taken = sink(unpacked); !taken)
                return taken;
    }
    if (stream.avail_in != 0 || !packed.empty())
        return broken("its packed bytes go on after their end");
    return {};
}

/// The whole member to `sink`, checked against size and checksum.
Result<void> unpackMember(const MappedFile& file, const ZipEntry& entry, const ByteSink& sink)
{
    uLong checksum = crc32_z(0, nullptr, 0);
    std::uint64_t left = entry.size;
    const auto counted = [&](Bytes piece) -> Result<void> {
        if (piece.size() > left)
            return failure(
                ErrorCode::Malformed, whereIs(file, entry), "unpacks to more than its size says", entry.offset);
        left -= piece.size();
        checksum = crc32_z(checksum, reinterpret_cast<const Bytef*>(piece.data()), piece.size());
        return sink(piece);
    };
    if (entry.deflated) {
        if (auto inflated = inflateMember(file, entry, counted); !inflated)
            return inflated;
    } else {
        for (std::uint64_t done = 0; done < entry.size; done += kPieceIn) {
            const auto count = std::min<std::uint64_t>(kPieceIn, entry.size - done);
            if (auto taken = counted(file.bytes().subspan(entry.offset + done, count)); !taken)
                return taken;
        }
    }
    if (left > 0)
        return failure(ErrorCode::Malformed, whereIs(file, entry), "unpacks to less than its size says", entry.offset);
    if (checksum != entry.checksum)
        return failure(ErrorCode::Malformed, whereIs(file, entry), "its bytes do not fit their checksum", entry.offset);
    return {};
}

/// A member from one of its bytes on.
class ZipMemberBytes final : public DeferredBytes
{
public:
    ZipMemberBytes(MappedFilePointer file, ZipEntry entry, std::uint64_t first)
        : DeferredBytes(entry.size - first)
        , m_file(std::move(file))
        , m_entry(std::move(entry))
        , m_first(first)
    {
    }

    std::uint64_t digest() const override { return m_entry.checksum; }

protected:
    Result<void> produce(const ByteSink& sink, std::stop_token stop) const override
    {
        std::uint64_t skip = m_first;
        return unpackMember(*m_file, m_entry, [&](Bytes piece) -> Result<void> {
            if (stop.stop_requested())
                return failure(ErrorCode::Cancelled, where(), "stopped on request");
            const auto before = std::min<std::uint64_t>(skip, piece.size());
            skip -= before;
            return sink(piece.subspan(before));
        });
    }

    std::string where() const override { return whereIs(*m_file, m_entry); }

private:
    MappedFilePointer m_file;
    ZipEntry m_entry;
    std::uint64_t m_first;
};

}  // namespace

Result<ZipArchive> ZipArchive::open(const MappedFilePointer& file)
{
    auto entries = readZipDirectory(file->bytes(), file->path().string());
    if (!entries)
        return tl::unexpected(std::move(entries.error()));
    return ZipArchive(file, std::move(*entries));
}

ZipArchive::ZipArchive(MappedFilePointer file, std::vector<ZipEntry> entries)
    : m_file(std::move(file))
    , m_entries(std::move(entries))
    , m_byName(m_entries.size())
{
    std::iota(m_byName.begin(), m_byName.end(), std::uint32_t {0});
    std::sort(m_byName.begin(), m_byName.end(),
        [&](std::uint32_t a, std::uint32_t b) { return m_entries[a].name < m_entries[b].name; });
}

const ZipEntry* ZipArchive::find(std::string_view name) const
{
    const auto found = std::lower_bound(m_byName.begin(), m_byName.end(), name,
        [&](std::uint32_t entry, std::string_view wanted) { return m_entries[entry].name < wanted; });
    return found != m_byName.end() && m_entries[*found].name == name ? &m_entries[*found] : nullptr;
}

Bytes ZipArchive::packedBytes(const ZipEntry& entry) const
{
    return m_file->bytes().subspan(entry.offset, entry.packedSize);
}

Result<std::vector<std::byte>> ZipArchive::unpack(const ZipEntry& entry, std::uint64_t limit) const
{
    if (entry.size > limit)
        return failure(ErrorCode::Unsupported, whereIs(*m_file, entry),
            "larger than the " + std::to_string(limit) + " bytes expected of it", entry.offset);
    std::vector<std::byte> bytes;
    auto unpacked = unpackMember(*m_file, entry, [&](Bytes piece) -> Result<void> {
        bytes.insert(bytes.end(), piece.begin(), piece.end());
        return {};
    });
    if (!unpacked)
        return tl::unexpected(std::move(unpacked.error()));
    return bytes;
}

Result<std::vector<std::byte>> ZipArchive::unpackHead(const ZipEntry& entry, std::uint64_t count) const
{
    const auto wanted = std::min(count, entry.size);
    if (!entry.deflated) {
        const auto head = packedBytes(entry).first(wanted);
        return std::vector<std::byte>(head.begin(), head.end());
    }
    std::vector<std::byte> bytes;
    auto unpacked = inflateMember(*m_file, entry, [&](Bytes piece) -> Result<void> {
        const auto part = piece.first(std::min<std::uint64_t>(piece.size(), wanted - bytes.size()));
        bytes.insert(bytes.end(), part.begin(), part.end());
        if (bytes.size() == wanted)
            return failure(ErrorCode::Cancelled, {}, {});  // enough: the rest stays packed
        return {};
    });
    if (bytes.size() == wanted)
        return bytes;
    if (!unpacked)
        return tl::unexpected(std::move(unpacked.error()));
    return failure(ErrorCode::Malformed, whereIs(*m_file, entry), "unpacks to less than its size says", entry.offset);
}

std::shared_ptr<const DeferredBytes> ZipArchive::deferred(const ZipEntry& entry, std::uint64_t first) const
{
    return std::make_shared<ZipMemberBytes>(m_file, entry, first);
}

}  // namespace quantloupe
