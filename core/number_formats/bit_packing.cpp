// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/number_formats/bit_packing.h"

#include <algorithm>

namespace quantloupe {

void packBits(std::span<const std::uint32_t> codes, unsigned bits, std::span<std::byte> bytes)
{
    std::uint64_t waiting = 0;
    unsigned count = 0;
    std::size_t at = 0;
    for (const std::uint32_t code : codes) {
        waiting |= std::uint64_t {code} << count;
        for (count += bits; count >= 8; count -= 8) {
            bytes[at++] = static_cast<std::byte>(waiting & 0xFFU);
            waiting >>= 8U;
        }
    }
    if (count != 0)
        bytes[at] = static_cast<std::byte>(waiting & 0xFFU);
}

void unpackBits(std::span<const std::byte> bytes, unsigned bits, std::span<std::uint32_t> codes)
{
    std::uint64_t waiting = 0;
    unsigned count = 0;
    std::size_t at = 0;
    for (std::uint32_t& code : codes) {
        for (; count < bits; count += 8)
            waiting |= std::to_integer<std::uint64_t>(bytes[at++]) << count;
        code = static_cast<std::uint32_t>(waiting & ((std::uint64_t {1} << bits) - 1U));
        waiting >>= bits;
        count -= bits;
    }
}

}  // namespace quantloupe
