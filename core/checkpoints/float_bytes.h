// SPDX-License-Identifier: GPL-3.0-or-later
// What packers have in common. For use inside this room.
#pragma once

#include "core/checkpoints/checkpoint_draft.h"

#include <optional>
#include <string>
#include <vector>

namespace quantloupe {

/// The dtype in which scales of this storage lie in files; nullopt where formats have none.
std::optional<DType> scaleType(ScaleStorage storage);

/// Values as floats of F32, F16 or BF16 that holds them exactly.
void appendFloats(std::vector<std::byte>& bytes, DType type, std::span<const float> values);
void appendScale(std::vector<std::byte>& bytes, DType type, float scale);

/// The plain float format of F32, F16 or BF16, and back.
Format plainFormat(DType type);
DType plainType(Format format);

/// A tensor whose values are written as floats of `type`, in the order in which `view` has its elements.
/// @pre `stored` has the shape of the view
DraftTensor floatTensor(std::size_t source, const TensorView& view, const std::string& name, std::size_t stored,
    DType type, const Scheme& scheme);

/// Refuses algorithms after which a file of codes does not hold the weights: those that need something done when the
/// model runs, or a change of other layers. Errors: Unsupported, naming tensor and reason.
Result<void> requireCodes(const std::string& tensor, const Scheme& scheme);

}  // namespace quantloupe
