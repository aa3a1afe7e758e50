// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/zip_directory.h"

#include "core/base/byte_cursor.h"
#include "core/base/text.h"

#include <algorithm>
#include <limits>

namespace quantloupe {
namespace {

constexpr std::uint32_t kLocalMagic = 0x04034b50, kCentralMagic = 0x02014b50, kEndMagic = 0x06054b50,
                        kEnd64Magic = 0x06064b50, kLocatorMagic = 0x07064b50;
constexpr std::uint64_t kEndSize = 22, kLocatorSize = 20, kEnd64Size = 56, kCentralSize = 46, kLocalSize = 30;
constexpr std::uint64_t kMaxComment = 65'535;
constexpr std::uint64_t kMaxZipEntries = 1'000'000;
constexpr std::uint64_t kMaxDeflated = std::uint64_t {4} << 30U;
/// Deflate packs at most 1:1,032. Small members may: a bias of zeros, a causal mask.
constexpr std::uint64_t kMaxRatio = 200, kAnyRatioBelow = std::uint64_t {16} << 20U;

constexpr unsigned kEncrypted = 0x0001, kStrongEncryption = 0x0040, kMaskedHeaders = 0x2000;
constexpr unsigned kStored = 0, kDeflated = 8;

template<class Number>
bool isEscape(Number field)
{
    return field == std::numeric_limits<Number>::max();
}

/// Where the central directory lies and how many entries it has.
struct DirectoryPlace {
    std::uint64_t offset = 0, size = 0, count = 0;
    std::uint64_t end = 0;  ///< first byte of the records behind it
};

class ZipDirectoryReader
{
public:
    ZipDirectoryReader(Bytes file, const std::string& where)
        : m_file(file)
        , m_where(where)
    {
    }

    Result<std::vector<ZipEntry>> read()
    {
        const auto place = findDirectory();
        if (!place)
            return tl::unexpected(place.error());
        if (place->offset > place->end || place->size > place->end - place->offset)
            return refuse(ErrorCode::Truncated, "the zip directory reaches past the records behind it", place->end);
        if (place->count > place->size / kCentralSize)
            return refuse(ErrorCode::Malformed,
                "a zip directory of " + std::to_string(place->size) + " bytes cannot hold "
                    + std::to_string(place->count) + " members",
                place->end);
        if (place->count > kMaxZipEntries)
            return refuse(ErrorCode::Unsupported, "a zip archive of more than a million members", place->end);
        if (auto listed = readEntries(*place); !listed)
            return tl::unexpected(std::move(listed.error()));
        if (auto apart = checkPlaces(); !apart)
            return tl::unexpected(std::move(apart.error()));
        if (auto distinct = checkNames(); !distinct)
            return tl::unexpected(std::move(distinct.error()));
        std::vector<ZipEntry> entries;
        entries.reserve(m_members.size());
        for (auto& member : m_members)
            if (!member.entry.name.ends_with('/'))
                entries.push_back(std::move(member.entry));
        return entries;
    }

private:
    struct Member {
        ZipEntry entry;
        std::uint64_t header = 0;   ///< where its local header begins
        std::uint64_t central = 0;  ///< where the directory speaks of it
    };

    tl::unexpected<Error> refuse(ErrorCode code, std::string reason, std::uint64_t offset) const
    {
        return failure(code, m_where, std::move(reason), offset);
    }

    ByteCursor at(std::uint64_t offset) const { return ByteCursor(m_file.subspan(offset)); }

    /// The record that ends the file, behind which lies nothing but its own comment.
    std::optional<std::uint64_t> findEnd() const
    {
        if (m_file.size() < kEndSize)
            return std::nullopt;
        const auto last = m_file.size() - kEndSize;
        for (std::uint64_t comment = 0; comment <= std::min<std::uint64_t>(last, kMaxComment); ++comment) {
            auto cursor = at(last - comment);
            if (cursor.read<std::uint32_t>() != kEndMagic)
                continue;
            cursor.take(kEndSize - 6);
            if (cursor.read<std::uint16_t>() == comment)
                return last - comment;
        }
        return std::nullopt;
    }

    Result<DirectoryPlace> findDirectory() const
    {
        const auto found = findEnd();
        if (!found)
            return refuse(ErrorCode::Truncated, "the zip archive has no directory at its end: a part of it is missing",
                m_file.size());
        auto cursor = at(*found + sizeof(kEndMagic));
        const auto disk = *cursor.read<std::uint16_t>(), firstDisk = *cursor.read<std::uint16_t>();
        const auto countHere = *cursor.read<std::uint16_t>(), count = *cursor.read<std::uint16_t>();
        const auto size = *cursor.read<std::uint32_t>(), offset = *cursor.read<std::uint32_t>();

        if (*found >= kLocatorSize)
            if (auto locator = at(*found - kLocatorSize); locator.read<std::uint32_t>() == kLocatorMagic) {
                auto place = findDirectory64(*found - kLocatorSize);
                // Programs that know nothing of zip64 go by the other record: they must see the same archive.
                const bool same = !place
                    || ((isEscape(count) || count == place->count) && (isEscape(size) || size == place->size)
                        && (isEscape(offset) || offset == place->offset));
                if (!same)
                    return refuse(ErrorCode::Malformed, "the two end records of the zip archive differ", *found);
                return place;
            }
        if (disk != 0 || firstDisk != 0 || countHere != count)
            return refuse(ErrorCode::Unsupported, "a zip archive in several files", *found);
        return DirectoryPlace {offset, size, count, *found};
    }

    Result<DirectoryPlace> findDirectory64(std::uint64_t locator) const
    {
        auto cursor = at(locator + sizeof(kLocatorMagic));
        const auto disk = *cursor.read<std::uint32_t>();
        const auto record = *cursor.read<std::uint64_t>();
        const auto disks = *cursor.read<std::uint32_t>();
        if (disk != 0 || disks > 1)
            return refuse(ErrorCode::Unsupported, "a zip archive in several files", locator);
        if (record > locator || locator - record < kEnd64Size)
            return refuse(ErrorCode::Malformed, "the zip64 end record is not in front of its locator", locator);
        cursor = at(record);
        const auto magic = *cursor.read<std::uint32_t>();
        const auto length = *cursor.read<std::uint64_t>();
        if (magic != kEnd64Magic || length != locator - record - 12)
            return refuse(ErrorCode::Malformed, "the zip64 end record does not reach its locator", record);
        cursor.take(4);  // versions
        const auto thisDisk = *cursor.read<std::uint32_t>(), firstDisk = *cursor.read<std::uint32_t>();
        DirectoryPlace place;
        const auto countHere = *cursor.read<std::uint64_t>();
        place.count = *cursor.read<std::uint64_t>();
        place.size = *cursor.read<std::uint64_t>();
        place.offset = *cursor.read<std::uint64_t>();
        place.end = record;
        if (thisDisk != 0 || firstDisk != 0 || countHere != place.count)
            return refuse(ErrorCode::Unsupported, "a zip archive in several files", record);
        return place;
    }

    Result<void> readEntries(const DirectoryPlace& place)
    {
        ByteCursor cursor(m_file.subspan(place.offset, place.size));
        m_members.reserve(place.count);
        for (std::uint64_t i = 0; i < place.count; ++i)
            if (auto read = readEntry(cursor, place.offset); !read)
                return read;
        if (cursor.remaining() != 0)
            return refuse(
                ErrorCode::Malformed, "the zip directory is longer than its members", place.offset + cursor.offset());
        return {};
    }

    Result<void> readEntry(ByteCursor& cursor, std::uint64_t directory)
    {
        Member member;
        member.central = directory + cursor.offset();
        const auto fields = cursor.take(kCentralSize);
        if (!fields)
            return refuse(ErrorCode::Truncated, "the zip directory ends inside a member's entry", member.central);
        ByteCursor field(*fields);
        if (field.read<std::uint32_t>() != kCentralMagic)
            return refuse(
                ErrorCode::Malformed, "no member's entry where the zip directory should have one", member.central);
        field.take(4);  // versions
        const auto flags = *field.read<std::uint16_t>(), method = *field.read<std::uint16_t>();
        field.take(4);  // time of the last change
        member.entry.checksum = *field.read<std::uint32_t>();
        const auto packedSize = *field.read<std::uint32_t>(), size = *field.read<std::uint32_t>();
        const auto nameLength = *field.read<std::uint16_t>(), extraLength = *field.read<std::uint16_t>(),
                   commentLength = *field.read<std::uint16_t>(), disk = *field.read<std::uint16_t>();
        field.take(6);  // attributes
        const auto header = *field.read<std::uint32_t>();
        const auto name = cursor.take(nameLength);
        const auto extra = cursor.take(extraLength);
        if (!name || !extra || !cursor.take(commentLength))
            return refuse(ErrorCode::Truncated, "the zip directory ends inside a member's entry", member.central);
        member.entry.name.assign(reinterpret_cast<const char*>(name->data()), name->size());
        member.entry.packedSize = packedSize;
        member.entry.size = size;
        member.entry.deflated = method == kDeflated;
        member.header = header;

        const auto extended = findZip64(*extra);
        ByteCursor wide(extended.value_or(Bytes {}));
        std::optional<std::uint64_t> number {0};
        const auto widen = [&](bool escaped, std::uint64_t& target) {
            if (escaped && number && (number = wide.read<std::uint64_t>()))
                target = *number;
        };
        widen(isEscape(size), member.entry.size);
        widen(isEscape(packedSize), member.entry.packedSize);
        widen(isEscape(header), member.header);
        const std::optional<std::uint32_t> wideDisk = isEscape(disk) ? wide.read<std::uint32_t>() : disk;
        if (!number || !wideDisk)
            return refuse(ErrorCode::Malformed, named(member) + " lacks its zip64 sizes", member.central);
        if (*wideDisk != 0)
            return refuse(ErrorCode::Unsupported, "a zip archive in several files", member.central);
        if (flags & (kEncrypted | kStrongEncryption | kMaskedHeaders))
            return refuse(ErrorCode::Unsupported, named(member) + " is encrypted", member.central);
        if (method != kStored && method != kDeflated)
            return refuse(ErrorCode::Unsupported,
                named(member) + " is packed by method " + std::to_string(method)
                    + "; only stored and deflated members can be read",
                member.central);
        if (auto sizes = checkSizes(member); !sizes)
            return sizes;
        if (auto placed = readLocalHeader(member, method, directory); !placed)
            return placed;
        m_members.push_back(std::move(member));
        return {};
    }

    /// The extra field 1: 64-bit values of those fields that are all ones.
    static std::optional<Bytes> findZip64(Bytes extra)
    {
        ByteCursor cursor(extra);
        for (;;) {
            const auto id = cursor.read<std::uint16_t>(), length = cursor.read<std::uint16_t>();
            const auto content = cursor.take(length.value_or(0));
            if (!id || !length || !content)
                return std::nullopt;
            if (*id == 1)
                return content;
        }
    }

    Result<void> checkSizes(const Member& member) const
    {
        const auto& entry = member.entry;
        if (!entry.deflated) {
            if (entry.packedSize != entry.size)
                return refuse(
                    ErrorCode::Malformed, named(member) + " is stored, but its two sizes differ", member.central);
            return {};
        }
        if (entry.size > kMaxDeflated)
            return refuse(ErrorCode::Unsupported, named(member) + " unpacks to more than 4 GiB", member.central);
        if (entry.size > kAnyRatioBelow && entry.size / kMaxRatio > entry.packedSize)
            return refuse(ErrorCode::Unsupported, named(member) + " unpacks to more than 200 times its packed size",
                member.central);
        return {};
    }

    /// Its own header says where the data of a member begin, and must name the same member.
    Result<void> readLocalHeader(Member& member, unsigned method, std::uint64_t directory)
    {
        if (member.header > directory || directory - member.header < kLocalSize)
            return refuse(
                ErrorCode::Malformed, named(member) + " does not lie in front of the zip directory", member.central);
        ByteCursor cursor(m_file.subspan(member.header, directory - member.header));
        const auto magic = *cursor.read<std::uint32_t>();
        cursor.take(4);  // version, flags
        const auto localMethod = *cursor.read<std::uint16_t>();
        cursor.take(16);  // time, checksum and sizes, which may be left to a record behind the data
        const auto nameLength = *cursor.read<std::uint16_t>(), extraLength = *cursor.read<std::uint16_t>();
        const auto name = cursor.take(nameLength);
        if (magic != kLocalMagic || localMethod != method || !name
            || std::string_view(reinterpret_cast<const char*>(name->data()), name->size()) != member.entry.name) {
            return refuse(ErrorCode::Malformed, named(member) + " is another one in its own header", member.header);
        }
        if (!cursor.take(extraLength) || !cursor.take(member.entry.packedSize))
            return refuse(ErrorCode::Truncated, named(member) + " reaches into the zip directory", member.header);
        member.entry.offset = member.header + cursor.offset() - member.entry.packedSize;
        return {};
    }

    Result<void> checkPlaces() const
    {
        std::vector<const Member*> order;
        order.reserve(m_members.size());
        for (const auto& member : m_members)
            order.push_back(&member);
        std::sort(order.begin(), order.end(), [](const Member* a, const Member* b) { return a->header < b->header; });
        std::uint64_t position = 0;
        for (const auto* member : order) {
            if (member->header < position)
                return refuse(ErrorCode::Malformed, named(*member) + " begins inside another member", member->header);
            position = member->entry.offset + member->entry.packedSize;
        }
        return {};
    }

    Result<void> checkNames() const
    {
        std::vector<const Member*> order;
        order.reserve(m_members.size());
        for (const auto& member : m_members) {
            if (!isSafe(member.entry.name))
                return refuse(
                    ErrorCode::Malformed, named(member) + " has a name that points out of the archive", member.central);
            if (member.entry.name.ends_with('/') && member.entry.size != 0)
                return refuse(ErrorCode::Malformed, named(member) + " is a folder with content", member.central);
            order.push_back(&member);
        }
        std::sort(
            order.begin(), order.end(), [](const Member* a, const Member* b) { return a->entry.name < b->entry.name; });
        const auto twin = std::adjacent_find(order.begin(), order.end(),
            [](const Member* a, const Member* b) { return a->entry.name == b->entry.name; });
        if (twin != order.end())
            return refuse(ErrorCode::Malformed, named(**twin) + " occurs twice", (*twin)->central);
        return {};
    }

    static bool isSafe(std::string_view name)
    {
        const bool drive = name.size() >= 2 && name[1] == ':';
        if (name.empty() || name.front() == '/' || drive || !isValidUtf8(name)
            || name.find_first_of(std::string_view("\\\0", 2)) != std::string_view::npos)
            return false;
        for (std::size_t begin = 0; begin <= name.size();) {
            const auto end = std::min(name.find('/', begin), name.size());
            if (name.substr(begin, end - begin) == "..")
                return false;
            begin = end + 1;
        }
        return true;
    }

    static std::string named(const Member& member) { return "member " + inQuotes(member.entry.name); }

    Bytes m_file;
    const std::string& m_where;
    std::vector<Member> m_members;
};

}  // namespace

Result<std::vector<ZipEntry>> readZipDirectory(Bytes file, const std::string& where)
{
    return ZipDirectoryReader(file, where).read();
}

}  // namespace quantloupe
