// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace quantloupe {

/// Codes of `bits` bits side by side, the first in the lowest bits of the first byte; the last byte is filled up with
/// zeros. @pre bytes.size() == ⌈codes.size()·bits / 8⌉, codes < 2^bits, 1 ≤ bits ≤ 32
void packBits(std::span<const std::uint32_t> codes, unsigned bits, std::span<std::byte> bytes);
void unpackBits(std::span<const std::byte> bytes, unsigned bits, std::span<std::uint32_t> codes);

}  // namespace quantloupe
