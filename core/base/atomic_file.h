// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"

#include <filesystem>
#include <functional>
#include <string_view>

namespace quantloupe {

/// Replaces `path` as a whole or not at all: temporary file in the same folder, fsync, rename, fsync of the folder.
/// A failure leaves the old file as it was and no temporary file behind. Errors: CannotWrite.
Result<void> writeFileAtomically(const std::filesystem::path& path, std::string_view content);

/// The same for libraries that write by name: `writer` fills the file it is given and closes it.
Result<void> replaceFileAtomically(const std::filesystem::path& path,
    const std::function<Result<void>(const std::filesystem::path& temporary)>& writer);

}  // namespace quantloupe
