// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/base/hash.h"

#include <xxhash.h>

#include <cstddef>
#include <new>

namespace quantloupe {

std::uint64_t checksum64(std::span<const std::byte> bytes)
{
    return XXH3_64bits(bytes.data(), bytes.size());
}

FingerprintHasher::FingerprintHasher()
    : m_state(XXH3_createState())
{
    if (!m_state)
        throw std::bad_alloc();
    XXH3_128bits_reset(static_cast<XXH3_state_t*>(m_state));
}

FingerprintHasher::~FingerprintHasher()
{
    XXH3_freeState(static_cast<XXH3_state_t*>(m_state));
}

void FingerprintHasher::add(std::span<const std::byte> bytes)
{
    XXH3_128bits_update(static_cast<XXH3_state_t*>(m_state), bytes.data(), bytes.size());
}

void FingerprintHasher::add(std::string_view text)
{
    add(static_cast<std::uint64_t>(text.size()));
    add(std::as_bytes(std::span(text)));
}

void FingerprintHasher::add(std::uint64_t number)
{
    // Byte by byte, so that a fingerprint means the same on a big-endian machine.
    std::byte bytes[8];
    for (unsigned i = 0; i < 8; ++i)
        bytes[i] = static_cast<std::byte>(number >> (8U * i));
    add(std::span<const std::byte>(bytes));
}

std::string FingerprintHasher::hex() const
{
    static constexpr char kDigits[] = "0123456789abcdef";
    const XXH128_hash_t hash = XXH3_128bits_digest(static_cast<const XXH3_state_t*>(m_state));
    std::string text;
    for (const std::uint64_t half : {hash.high64, hash.low64})
        for (int shift = 60; shift >= 0; shift -= 4)
            text += kDigits[(half >> static_cast<unsigned>(shift)) & 0xfU];
    return text;
}

}  // namespace quantloupe
