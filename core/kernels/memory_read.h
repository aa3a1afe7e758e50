// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace quantloupe::kernels {

/// Reads every byte once, in four streams side by side, and returns a number made of them all: as fast as memory gives
/// it, the measure of how good a pass over weights can be. @pre whole 32-bit words, aligned as such
std::uint32_t readMemory(std::span<const std::byte> bytes);

}  // namespace quantloupe::kernels
