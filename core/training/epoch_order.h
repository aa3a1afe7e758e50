// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace quantloupe {

/// Which of `count` examples step `step` (from 0) of a training takes: every one comes once before one comes again, in
/// an order that the seed and the round decide. The same everywhere. @pre count > 0
std::vector<std::size_t> examplesOfStep(std::size_t count, std::size_t batch, std::uint64_t step, std::uint64_t seed);

}  // namespace quantloupe
