// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace quantloupe::kernels {

/// Reads every byte once, from front to back, and returns a number made of them all: the measure of how good a pass
/// over weights can be. @pre whole 32-bit words, aligned as such
std::uint32_t readMemory(std::span<const std::byte> bytes);

/// The same in four streams side by side, a quarter each: what one core can get from memory at most.
std::uint32_t readMemoryInStreams(std::span<const std::byte> bytes);

}  // namespace quantloupe::kernels
