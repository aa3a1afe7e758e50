// SPDX-License-Identifier: GPL-3.0-or-later
// The files of a draft on disk, until they get their names. For use inside this room.
#pragma once

#include "core/base/descriptor.h"
#include "core/checkpoints/checkpoint_draft.h"

#include <filesystem>
#include <mutex>
#include <optional>

namespace quantloupe {

/// All files of a draft, opened at their full size with their literal bytes in place.
class DraftFiles final : public RegionWriter
{
public:
    /// `path`: of the one file, or of the folder, which is made. Errors: CannotWrite.
    static Result<std::unique_ptr<DraftFiles>> create(const CheckpointDraft& draft, const std::filesystem::path& path);

    void write(std::size_t stored, std::uint64_t offset, Bytes bytes) override;
    /// What went wrong since the last call, if anything. Errors: CannotWrite.
    Result<void> check();
    /// Puts everything on the disk and closes the files. Errors: CannotWrite.
    Result<void> finish();

private:
    explicit DraftFiles(const CheckpointDraft& draft)
        : m_draft(&draft)
    {
    }
    Result<void> open(const DraftFile& file, const std::filesystem::path& path);

    const CheckpointDraft* m_draft;
    std::vector<Descriptor> m_files {};
    std::vector<std::filesystem::path> m_paths {};
    std::mutex m_mutex {};
    std::optional<Error> m_error {};
};

/// Errors: CannotWrite when the file system of `folder` has less room than `bytes`.
Result<void> requireRoom(const std::filesystem::path& folder, std::uint64_t bytes);

/// A name beside `path` that nobody has.
std::filesystem::path unusedNameBeside(const std::filesystem::path& path);

/// Writes what is on its way to a file or folder to the disk. Errors: CannotWrite.
Result<void> synchroniseFolder(const std::filesystem::path& folder);

}  // namespace quantloupe
