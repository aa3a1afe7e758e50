// SPDX-License-Identifier: GPL-3.0-or-later
// The part of `export` that writes checkpoints.
#pragma once

#include "app/cli/output.h"
#include "app/cli/session.h"

#include "core/checkpoints/checkpoint_target.h"

#include <string>

namespace quantloupe::cli {

struct CheckpointWishes {
    std::string floats;       ///< "fp32", "fp16", "bf16"; empty: each tensor's own
    std::string shardSize;    ///< "5GB"; empty: the default
    bool requantize = false;  ///< tensors that are quantized already may be quantized again
    bool dryRun = false;
};

void addCheckpointOptions(CLI::App& command, CheckpointWishes& wishes);

/// What is told of a checkpoint that was written, or would be.
struct WishedCheckpoint {
    Json json;
    std::string text;
};

/// The plan of a checkpoint as wished. Errors: usage, naming the option; those of CheckpointTarget::draft().
Result<CheckpointDraft> draftWishedCheckpoint(
    const CheckpointTarget& target, const CheckpointWishes& wishes, CheckpointRequest request);

/// Before long work: whether a draft could be written to --out, found out by beginning to, which leaves nothing.
/// Errors: usage (--out is taken), CannotWrite (no room included).
Result<void> requirePlace(const Session& session, const CheckpointDraft& draft);

/// Warns of what will differ, and writes --out with what `quantization` chooses. Errors: usage, naming the option;
/// those of writeCheckpoint().
Result<WishedCheckpoint> writeWishedCheckpoint(const Session& session, const CheckpointTarget& target,
    const CheckpointWishes& wishes, CheckpointRequest request, const WeightQuantization& quantization);

/// The same of a model as it is, and prints what is to be told.
Result<void> exportCheckpoint(
    const Session& session, const CheckpointTarget& target, const CheckpointWishes& wishes, CheckpointRequest request);

}  // namespace quantloupe::cli
