// SPDX-License-Identifier: GPL-3.0-or-later
// What a layer's outputs lose. For use inside this room.
#pragma once

#include "core/calibration/layer_inputs.h"
#include "core/kernels/dense_algebra.h"
#include "core/training/layer_training.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <stop_token>

namespace quantloupe {

/// Some inputs of a layer with its original weights, against which any Ŵ is measured: token by token in float32, or by
/// second moments in double; sums in double in the order of the rows. The same bits for any number of threads of the
/// caller's arena. Borrows both.
class LayerJudge
{
public:
    /// Tokens × columns. @pre at least one
    LayerJudge(std::span<const float> weights, kernels::ConstMatrix tokens);
    /// All tokens that the moments saw. @pre the moments are there, tokens > 0
    LayerJudge(std::span<const float> weights, const LayerInputs& moments);

    /// ‖W·x‖² and then errors over it. False, nothing: stopped.
    bool measureOutput(const std::stop_token& stop);
    std::optional<LayerError> judge(std::span<const float> quantized, const std::stop_token& stop) const;
    std::uint64_t tokens() const { return m_moments != nullptr ? m_moments->tokens : m_tokens.rows; }

private:
    /// Mean over tokens of ‖(W − Ŵ)·x‖², Ŵ = 0 where it is empty.
    std::optional<double> squares(std::span<const float> quantized, const std::stop_token& stop) const;

    std::span<const float> m_weights;
    kernels::ConstMatrix m_tokens {};
    const LayerInputs* m_moments = nullptr;
    double m_output = 0.0;
};

}  // namespace quantloupe
