// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <span>

namespace quantloupe::kernels {

/// codes[i] = how many thresholds lie below values[i]; NaN counts as 0.
/// Every target returns what the reference does. @pre codes are as many as values
void countThresholds(std::span<const float> thresholds, std::span<const float> values, std::span<std::uint32_t> codes);
void countThresholdsReference(
    std::span<const float> thresholds, std::span<const float> values, std::span<std::uint32_t> codes);

}  // namespace quantloupe::kernels
