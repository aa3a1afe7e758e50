// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace quantloupe {

/// Replaces `path` as a whole or not at all: temporary file in the same folder, fsync, rename, fsync of the folder.
/// A failure leaves the old file as it was and no temporary file behind. Errors: CannotWrite.
Result<void> writeFileAtomically(const std::filesystem::path& path, std::string_view content);

/// The same for libraries that write by name: `writer` fills the file it is given and closes it.
Result<void> replaceFileAtomically(const std::filesystem::path& path,
    const std::function<Result<void>(const std::filesystem::path& temporary)>& writer);

/// Removes what lies right below a folder and whose name is `unwanted`. Best effort.
void removeFiles(const std::filesystem::path& folder, const std::function<bool(const std::string& name)>& unwanted);

/// Waits until a piece of a file that is being written is on the disk, for writers of large files: the fsync at the end
/// then finds little left, and a stop between pieces is not kept waiting. Best effort: what fails here fails there.
void writeOut(const std::filesystem::path& path, std::uint64_t first, std::uint64_t count);

}  // namespace quantloupe
