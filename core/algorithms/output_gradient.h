// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/kernels/dense_algebra.h"

#include <optional>
#include <span>
#include <stop_token>

namespace quantloupe {

/// What a step's loss goes by: some tokens' inputs, tokens × columns, or M = E x·xᵀ, columns × columns.
struct StepInputs {
    kernels::ConstMatrix values {};
    bool moments = false;
};

/// Of some rows of a layer: turns E = Ŵ − W into ∂loss/∂Ŵ in place, with n tokens 2/n · (E·Xᵀ)·X, or 2·E·M. Returns
/// the loss, ‖E·x‖² as the mean over tokens; rowLosses, where given, gets the share of each row. Nothing: stopped.
/// @pre rowLosses is empty or as many as there are rows
std::optional<double> outputGradient(const StepInputs& inputs, kernels::MutableMatrix errors,
    const std::stop_token& stop, std::span<double> rowLosses = {});

}  // namespace quantloupe
