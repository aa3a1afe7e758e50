// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace quantloupe {

enum class JournalRecordType : std::uint32_t {
    Measurement = 1,        ///< payload: record_codec.h
    Recipe = 2,             ///< payload: a native recipe as JSON
    CalibrationTexts = 10,  ///< payload: record_codec.h; without any text calibration starts over
    CalibratedInput = 11,   ///< payload: record_codec.h
    LayerGradients = 12,    ///< payload: record_codec.h
    MeasuredRecipe = 13,    ///< payload: record_codec.h
};

struct JournalRecord {
    JournalRecordType type = JournalRecordType::Measurement;
    std::vector<std::byte> payload;
};

/// What a journal holds, up to its last good record.
struct JournalContent {
    std::string fingerprint;  ///< empty when there is no whole header
    std::vector<JournalRecord> records;
    std::uint64_t goodBytes = 0;  ///< up to here the file is sound
};

/// An append-only file that makes each record durable before append() returns.
///
///     header:  8 bytes magic "QLJOURN1", 32 bytes fingerprint, 8 bytes XXH3 of the 40 before
///     record:  8 bytes magic and type, 8 bytes payload length, payload, 8 bytes XXH3 of all before in the record
///
/// all little-endian. A torn or damaged record ends the journal: what lies before it counts, the rest is cut off.
/// Holding a Journal holds an advisory lock on the file (flock), which the system drops when a process dies.
class Journal
{
public:
    /// Opens or creates the file and locks it, with the sound part of its content in `content`; a damaged tail is cut
    /// off at the next append. Errors: Conflict (open in another program), Malformed (not a journal), CannotWrite.
    static Result<Journal> open(const std::filesystem::path& path, JournalContent& content);
    /// Reads without locking; an absent file is an empty journal. Errors: Malformed, CannotOpen.
    static Result<JournalContent> read(const std::filesystem::path& path);

    Journal(Journal&& other) noexcept;
    Journal& operator=(Journal&& other) = delete;
    ~Journal();  ///< drops the lock; the file stays

    /// Empties the journal and binds it to a model. Durable when it returns. Errors: CannotWrite.
    Result<void> reset(const std::string& fingerprint);
    /// Durable when it returns; after a failure the file is as it was before. Errors: CannotWrite.
    Result<void> append(JournalRecordType type, std::span<const std::byte> payload);
    /// Removes the file, still locked, so that nobody else can have begun to use it. Errors: CannotWrite.
    Result<void> remove();

private:
    Journal(std::filesystem::path path, int file);

    std::filesystem::path m_path;
    int m_file = -1;
    std::uint64_t m_end = 0;  ///< where the next record goes
};

}  // namespace quantloupe
