// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/file_formats/hdf5_records.h"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace quantloupe::read_hdf5 {

/// The bytes of one record, put together.
class RecordBytes
{
public:
    RecordBytes& u8(std::uint8_t number);
    RecordBytes& u64(std::uint64_t number);
    RecordBytes& text(std::string_view text);
    std::span<const char> bytes() const { return m_bytes; }

private:
    std::vector<char> m_bytes;
};

/// Writes records to standard output. They are gathered, but never for longer than the reader has patience.
class Answer
{
public:
    /// Ends the process when nobody reads any more.
    void send(Hdf5Record kind, std::span<const char> bytes);
    void fail(ErrorCode code, std::string_view reason);
    void flush();

private:
    std::vector<char> m_pending;
    std::int64_t m_lastFlush = 0;  ///< milliseconds
};

}  // namespace quantloupe::read_hdf5
