// SPDX-License-Identifier: GPL-3.0-or-later
// The two passes over a tensor: writing it, and reading it again. For use inside this room.
#pragma once

#include "core/base/progress_share.h"
#include "core/checkpoints/checkpoint_draft.h"

#include <cstdint>
#include <span>
#include <stop_token>
#include <vector>

namespace quantloupe {

/// How a tensor is cut: the same for both passes.
struct PackTiling {
    MatrixShape shape {};
    std::uint64_t rowsPerTile = 1;

    std::uint64_t tiles() const { return (shape.rows + rowsPerTile - 1) / rowsPerTile; }
};

/// What the first pass leaves for the second.
struct WrittenTensor {
    PackTiling tiling {};
    std::vector<std::uint64_t> checksums {};  ///< of the values of each tile; empty where bytes were copied
};

/// Of values, but for the sign of zeros, which not every format has. Takes it off them.
std::uint64_t valueChecksum(std::span<float> values);

/// Quantizes, packs and writes one tensor. Errors: Cancelled, those of `quantization` and of reading.
Result<WrittenTensor> writeTensor(const CheckpointDraft& draft, const DraftTensor& tensor,
    const WeightQuantization& quantization, RegionWriter& out, std::stop_token stop, const ProgressShare& progress);

/// Compares what was read again with what was written. Errors: Internal where they differ, Cancelled, those of reading.
Result<void> verifyTensor(const CheckpointDraft& draft, const DraftTensor& tensor, const WrittenTensor& written,
    const Model& again, std::stop_token stop, const ProgressShare& progress);

}  // namespace quantloupe
