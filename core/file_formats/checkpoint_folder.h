// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/file_formats/file_format.h"

#include <functional>

namespace quantloupe {

using FileOpener = std::function<Result<Model>(const std::filesystem::path&)>;

/// Opens the model that a folder holds: by its one shard index of safetensors, else `model.safetensors`, else all
/// `model*.safetensors`, else the only safetensors file, else the only GGUF file (or the first of the only split one),
/// else the same of PyTorch (`pytorch_model.bin` and its shards), else the only file of another format.
/// `openFile` opens a single file. Errors: NotThisFormat when there is none, or no telling which.
Result<Model> openFolder(const std::filesystem::path& folder, const FileOpener& openFile);

}  // namespace quantloupe
