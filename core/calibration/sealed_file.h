// SPDX-License-Identifier: GPL-3.0-or-later
// Files of numbers that end in a checksum of all before.
#pragma once

#include "core/base/byte_cursor.h"
#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/mapped_file.h"
#include "core/calibration/input_figures.h"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>

namespace quantloupe {

/// Writes and sums up at once, piece by piece: a stop is noticed between, and nothing is written from then on.
class SealedWriter
{
public:
    explicit SealedWriter(const std::filesystem::path& path, std::stop_token stop = {});

    template<class Number>
    void write(std::span<const Number> values)
    {
        writeBytes(std::as_bytes(values));
    }
    /// Numbers as float32. Errors: Malformed (`tooLarge`: one of them is no float32).
    Result<void> writeRounded(std::span<const double> values, const std::string& where, const std::string& tooLarge);
    /// The checksum; empty where the disk refused.
    std::string finish();
    std::uint64_t bytes() const { return m_bytes; }

private:
    void writeBytes(std::span<const std::byte> bytes);

    std::filesystem::path m_path;
    std::stop_token m_stop;
    std::ofstream m_file;
    FingerprintHasher m_hasher;
    std::uint64_t m_bytes = 0, m_writtenOut = 0;
};

/// Writes such a file, as a whole or not at all; a file of that name is replaced. Errors: CannotWrite, Cancelled, those
/// of `content`.
Result<InputFileReference> writeSealedFile(const std::filesystem::path& folder, const std::string& name,
    const std::function<Result<void>(SealedWriter& writer)>& content, const std::stop_token& stop);

/// One that was opened: all of it but the checksum, which matches.
struct SealedFile {
    std::shared_ptr<const MappedFile> file {};
    Bytes content {};
};

/// Maps and checks one. Errors: CannotOpen, Truncated, Malformed (damaged), Conflict (a whole file, but another than
/// the reference says), Cancelled.
Result<SealedFile> openSealedFile(
    const std::filesystem::path& folder, const InputFileReference& reference, const std::stop_token& stop = {});

/// What it says of a file that is not as it must be.
tl::unexpected<Error> damagedFile(const std::filesystem::path& path, std::string reason);

/// Whether the next bytes are these.
bool takeMagic(ByteCursor& cursor, std::string_view magic);

/// The next `count` numbers. @pre they are there, and aligned
template<class Number>
std::span<const Number> takeNumbers(ByteCursor& cursor, std::uint64_t count)
{
    const auto bytes = *cursor.take(count * sizeof(Number));
    return {reinterpret_cast<const Number*>(bytes.data()), static_cast<std::size_t>(count)};
}

}  // namespace quantloupe
