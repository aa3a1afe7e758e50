// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/byte_cursor.h"
#include "core/base/helper_process.h"
#include "core/file_formats/hdf5_file.h"

#include <set>
#include <string>

namespace quantloupe {

/// Collects what the helper says about an HDF5 file and believes none of it.
class Hdf5ContentsReader
{
public:
    /// `file`: the bytes that are the HDF5 file, which begin at `begin` of the mapped one.
    Hdf5ContentsReader(std::string where, Bytes file, std::uint64_t begin)
        : m_where(std::move(where))
        , m_file(file)
        , m_begin(begin)
        , m_size(file.size())
    {
    }

    /// false after the last record. Errors: Malformed, Truncated, Unsupported (too much of it).
    Result<bool> take(const HelperRecord& record);

    Hdf5Contents contents() { return std::move(m_contents); }

private:
    tl::unexpected<Error> nonsense() const;
    Result<bool> takeDataset(ByteCursor& cursor);
    Result<bool> takeAttribute(ByteCursor& cursor);
    bool takeStored(ByteCursor& cursor, Hdf5Dataset& dataset) const;

    std::string m_where;
    Bytes m_file;
    std::uint64_t m_begin, m_size, m_total = 0;
    Hdf5Contents m_contents;
    std::set<std::string> m_paths;
};

}  // namespace quantloupe
