// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

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

}  // namespace quantloupe
