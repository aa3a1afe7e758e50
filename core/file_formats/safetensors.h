// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/file_formats/model_assembly.h"

#include <span>

namespace quantloupe {

/// Makes one model of safetensors files, in the order given: one file, or all shards of a checkpoint.
/// Errors: as readSafetensorsHeader(), for the file concerned.
Result<Model> readSafetensorsFiles(std::span<const MappedFilePointer> files);

}  // namespace quantloupe
