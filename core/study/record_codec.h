// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/calibration/model_calibration.h"
#include "core/study/measured_recipe.h"
#include "core/study/measurement.h"

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace quantloupe {

/// A measurement as the payload of a journal record: every field in the order of measurement.h, numbers little-endian,
/// floating ones by their bits, texts and arrays preceded by their length (64 bits).
std::vector<std::byte> encodeMeasurement(const TensorMeasurement& measurement);

/// Nothing when the payload does not hold exactly one measurement. Allocates no more than the payload's own size.
std::optional<TensorMeasurement> decodeMeasurement(std::span<const std::byte> payload);

/// The same of what calibration taught about some inputs, in the order of input_figures.h.
std::vector<std::byte> encodeFigures(const InputFigures& figures);
std::optional<InputFigures> decodeFigures(std::span<const std::byte> payload);

std::vector<std::byte> encodeGradients(const GradientFigures& figures);
std::optional<GradientFigures> decodeGradients(std::span<const std::byte> payload);

/// The recipe itself as native JSON.
std::vector<std::byte> encodeMeasuredRecipe(const MeasuredRecipe& measured);
std::optional<MeasuredRecipe> decodeMeasuredRecipe(std::span<const std::byte> payload);

std::vector<std::byte> encodeTexts(const std::vector<CalibrationText>& texts);
std::optional<std::vector<CalibrationText>> decodeTexts(std::span<const std::byte> payload);

}  // namespace quantloupe
