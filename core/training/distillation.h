// SPDX-License-Identifier: GPL-3.0-or-later
// Learning from another model's predictions. Source: Hinton, Vinyals & Dean, "Distilling the knowledge in a neural
// network" (2015).
#pragma once

#include "core/inference/backward.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <stop_token>
#include <vector>

namespace quantloupe {

/// What a teacher gives its output head at every scored position of a window, [predictions × hidden].
using TaughtWindow = std::span<const float>;

/// The same of a whole text's windows: once computed it is kept for the next epoch, while memory lasts. The bits do not
/// depend on what is kept.
class TaughtOutputs
{
public:
    /// Keeps at most so many bytes; 0: nothing. Teacher and text outlive this.
    TaughtOutputs(const Decoder& teacher, const WindowedText& text, std::uint64_t bytes);

    /// Of some windows of the text, in the caller's task arena. It lasts until the next call. Errors: those of
    /// runForward().
    Result<std::vector<TaughtWindow>> of(std::span<const std::size_t> windows, std::stop_token stop);

private:
    const Decoder& m_teacher;
    const WindowedText& m_text;
    std::uint64_t m_bytes;  ///< that may still be kept
    std::map<std::size_t, std::vector<float>> m_kept {};
    ZeroedArray<float> m_latest {};
};

/// KL(teacher ‖ student) of each prediction in nats, times `scale`: logits of the teacher are computed beside those of
/// the student, tile by tile. `taught`: of each window of the text. All outlive the function.
LossFunction distillationLoss(const Decoder& teacher, const LoadedLayers& head, const WindowedText& text,
    std::span<const TaughtWindow> taught, double scale);

/// Bytes that learning from a teacher takes beside the student's pass: the head, what it is given at so many positions
/// at a time, and of each thread a tile of the teacher's logits and both distributions of a prediction.
std::uint64_t distillationBytes(const Decoder& teacher, std::uint64_t positions, std::uint64_t threads);

}  // namespace quantloupe
