// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/checkpoints/checkpoint_target.h"

namespace quantloupe {

/// A checkpoint of a trained model, with everything but its weights as usual.
CheckpointRequest trainedCheckpoint(ModelPointer trained, const Recipe& recipe);

/// Whether a draft holds every planned matrix under the scheme that it is trained under, or as floats that hold its
/// values. Errors: Unsupported, naming the tensor and how it would be written.
Result<void> requireAsPlanned(
    const CheckpointTarget& target, const CheckpointDraft& draft, const CheckpointRequest& request);

}  // namespace quantloupe
