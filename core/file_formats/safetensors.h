// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/file_formats/model_assembly.h"

#include <span>

namespace quantloupe {

/// Makes one model of safetensors files, in the order given: one file, or all shards of a checkpoint.
/// Errors: as readSafetensorsHeader(), for the file concerned.
Result<Model> readSafetensorsFiles(std::span<const MappedFilePointer> files);

/// Opens a checkpoint by its shard index, `*.safetensors.index.json`. Errors: also Malformed for an index that does not
/// fit its shards, Unsupported for shards of another format.
Result<Model> openShardIndex(const MappedFilePointer& index);

}  // namespace quantloupe
