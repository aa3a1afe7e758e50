// SPDX-License-Identifier: GPL-3.0-or-later
// The vectors that the codes of ggml's IQ1, IQ2 and IQ3 formats choose from.
#pragma once

#include <array>
#include <cstdint>

namespace quantloupe::kernels::ggml {

/// Eight levels per entry, one per byte, the first weight's in the lowest. All are above zero.
extern const std::array<std::uint64_t, 256> kIq2XxsGrid;
extern const std::array<std::uint64_t, 512> kIq2XsGrid;
extern const std::array<std::uint64_t, 1024> kIq2SGrid;

/// Four levels per entry, in the lower half. All are above zero.
extern const std::array<std::uint64_t, 256> kIq3XxsGrid;
extern const std::array<std::uint64_t, 512> kIq3SGrid;

/// Eight signed levels per entry, −8, 0 or 8: in eighths, as the offset of ±⅛ that they get is.
extern const std::array<std::uint64_t, 2048> kIq1Grid;

}  // namespace quantloupe::kernels::ggml
