// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <vector>

namespace quantloupe {

/// Which rows of a query or key matrix rotary embedding turns together: neighbours (Meta's checkpoints, llama2.c,
/// GGUF's llama) or row j of a head and row j + half of it (Hugging Face).
enum class RotaryOrder : std::uint8_t { Pairs, Halves };

/// Of each row of a matrix in order `wanted`, its place in the other order. Source: interop notes on recipes, section
/// 1.6. @pre headDimension is even and divides rows
std::vector<std::uint64_t> rowsInOtherRotaryOrder(std::uint64_t rows, std::uint64_t headDimension, RotaryOrder wanted);

}  // namespace quantloupe
