// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/file_formats/file_format.h"
#include "core/file_formats/zip_directory.h"

#include <string_view>

namespace quantloupe {

/// The members of a zip archive in a mapped file. Cheap to copy references from: everything it gives out lives on the
/// map, or holds it.
class ZipArchive
{
public:
    /// Errors: as readZipDirectory().
    static Result<ZipArchive> open(const MappedFilePointer& file);

    const MappedFilePointer& file() const { return m_file; }
    const std::vector<ZipEntry>& entries() const { return m_entries; }  ///< in the order of the directory
    const ZipEntry* find(std::string_view name) const;                  ///< nullptr where there is none

    /// What lies in the file for a member: of a stored one its bytes, which nothing has checked against the checksum.
    Bytes packedBytes(const ZipEntry& entry) const;

    /// All bytes of a small member, stored or deflated. Errors: Unsupported for more than `limit` bytes, Malformed
    /// where they do not fit their size or checksum.
    Result<std::vector<std::byte>> unpack(const ZipEntry& entry, std::uint64_t limit) const;

    /// The first bytes of a member, `count` or all there are. Not checked against the checksum. Errors: Malformed.
    Result<std::vector<std::byte>> unpackHead(const ZipEntry& entry, std::uint64_t count) const;

    /// The bytes of a member from `first` on, unpacked when asked for; the whole is then checked against the checksum.
    /// @pre first <= entry.size
    std::shared_ptr<const DeferredBytes> deferred(const ZipEntry& entry, std::uint64_t first = 0) const;

private:
    ZipArchive(MappedFilePointer file, std::vector<ZipEntry> entries);

    MappedFilePointer m_file;
    std::vector<ZipEntry> m_entries;
    std::vector<std::uint32_t> m_byName;  ///< into m_entries
};

}  // namespace quantloupe
