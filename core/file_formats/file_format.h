// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/model/model.h"

#include <filesystem>
#include <memory>
#include <span>
#include <stop_token>
#include <string_view>

namespace quantloupe {

using MappedFilePointer = std::shared_ptr<const MappedFile>;

/// One row of the reader table. A reader is two functions and no state.
struct FileFormat {
    std::string_view name;         ///< "safetensors", "gguf"
    std::string_view description;  ///< shown in the open dialog
    std::string_view extensions;   ///< space separated, lower case, without dots
    bool (*matches)(Bytes head);   ///< looks at the first 4 KiB only; must not throw
    /// Reads headers only, no tensor byte; opens what belongs to the file (shards, config.json) beside it.
    /// `stop` is asked where something must be unpacked or computed first.
    Result<Model> (*open)(const MappedFilePointer& file, const std::stop_token& stop);
};

/// Every built-in format, in probing order.
std::span<const FileFormat* const> fileFormats();

/// Opens a checkpoint: a file, a shard index (*.index.json), or a directory that holds a model.
/// Takes time in the number of tensors, not in bytes. Fills roles, config and fingerprint.
/// Errors: CannotOpen, NotThisFormat, Truncated, Malformed, Unsupported, Cancelled, each with file, byte and reason.
Result<ModelPointer> openModel(const std::filesystem::path& path, const std::stop_token& stop = {});

}  // namespace quantloupe
