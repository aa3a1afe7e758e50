// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"

#include <filesystem>
#include <string_view>

namespace quantloupe {

/// The folder with the bundled data: `devices/*.json`, `samples/`. Looked for where the environment variable
/// QUANTLOUPE_RESOURCES says, then in ../share/quantloupe beside the executable's folder (an installed program), then
/// in the source tree it was built from. When the variable is set, only there. Errors: CannotOpen, naming the places.
Result<std::filesystem::path> resourceFolder(std::string_view executablePath);

/// The model that `sample` stands for, inside the resource folder.
std::filesystem::path sampleModel(const std::filesystem::path& resources);

/// Stories that the sample has not seen, to calibrate and to evaluate it with.
std::filesystem::path sampleText(const std::filesystem::path& resources);

/// The device profiles, inside the resource folder.
std::filesystem::path deviceFolder(const std::filesystem::path& resources);

}  // namespace quantloupe
