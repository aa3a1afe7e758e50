// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/file_formats/file_format.h"

namespace quantloupe {

/// Opens a checkpoint by its shard index, `*.index.json`, whose shards are safetensors or PyTorch files. Errors: those
/// of the shards; Malformed for an index that does not fit them.
Result<Model> openShardIndex(const MappedFilePointer& index);

}  // namespace quantloupe
