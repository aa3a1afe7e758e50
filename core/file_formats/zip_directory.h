// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/mapped_file.h"

#include <cstdint>
#include <string>
#include <vector>

namespace quantloupe {

/// One member of a zip archive, as its central directory says.
struct ZipEntry {
    std::string name;              ///< UTF-8, relative, without ".." and backslashes: a key, never a path
    std::uint64_t offset = 0;      ///< first byte of its data, from the start of the file
    std::uint64_t packedSize = 0;  ///< bytes in the archive
    std::uint64_t size = 0;        ///< bytes when unpacked
    std::uint32_t checksum = 0;    ///< CRC-32 of the unpacked bytes
    bool deflated = false;         ///< otherwise stored: its data are its bytes
};

/// Reads the central directory of a zip archive, zip64 too, and the header in front of each member; no member's bytes.
/// Members lie apart from each other and from the directory, sizes are possible, names are distinct. Folders are left
/// out. In the order of the directory. Errors: Truncated, Malformed; Unsupported for encrypted members, other packing
/// than deflate, archives in several files, more than a million members, and members that unpack to more than 4 GiB or,
/// beyond 16 MiB, to more than 200 times their packed size. Source: interop notes, section 9.
Result<std::vector<ZipEntry>> readZipDirectory(Bytes file, const std::string& where);

}  // namespace quantloupe
