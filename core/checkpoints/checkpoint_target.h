// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/progress.h"
#include "core/checkpoints/checkpoint_draft.h"
#include "core/recipes/recipe.h"

#include <filesystem>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>

namespace quantloupe {

/// What is to be written.
struct CheckpointRequest {
    ModelPointer model;
    ModelCatalog catalog;  ///< catalogOf(*model)
    Recipe recipe;
    Plan plan;  ///< resolve(recipe, catalog)
    /// F32, F16 or BF16: for values that are written as floats; absent: each tensor's own type.
    std::optional<DType> floats {};
    bool requantize = false;  ///< tensors that the model holds quantized already may be quantized again
    std::uint64_t shardBytes = 5'000'000'000;  ///< a file of a folder ends before it grows beyond this
};

/// A checkpoint format that can be written: one row of the table, in a file of its own.
struct CheckpointTarget {
    std::string_view name;         ///< as in `--to`
    std::string_view title;        ///< "GGUF checkpoint"
    std::string_view description;  ///< what it can and cannot express
    std::string_view suffix;       ///< of the file; empty: a folder
    /// Plans the checkpoint without reading a weight. Errors: Unsupported, naming the tensor and what the format cannot
    /// express.
    Result<CheckpointDraft> (*draft)(const CheckpointRequest& request);
};

std::span<const CheckpointTarget* const> checkpointTargets();
const CheckpointTarget* findCheckpointTarget(std::string_view name);

struct CheckpointOptions {
    unsigned threads = 0;    ///< 0: all the process may use
    bool overwrite = false;  ///< replace what has the name already
};

struct WrittenCheckpoint {
    std::vector<std::filesystem::path> files {};
    std::uint64_t bytes = 0;
    std::size_t verifiedTensors = 0;  ///< read again and found equal, bit for bit
};

/// Writes the checkpoint beside `path`, reads it again with our own reader, compares every tensor with the codes that
/// were chosen, bit for bit, and only then gives it its name; a failure leaves nothing behind. Memory: one tile per
/// thread, whatever the size of the model.
/// Errors: Conflict (the name is taken, or is that of the model itself), CannotWrite (no room included), Cancelled,
/// Internal (what was read again differs), those of `quantization` and of reading.
Result<WrittenCheckpoint> writeCheckpoint(const CheckpointDraft& draft, const WeightQuantization& quantization,
    const std::filesystem::path& path, const CheckpointOptions& options, std::stop_token stop, Progress& progress);

}  // namespace quantloupe
