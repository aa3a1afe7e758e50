// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace quantloupe {

/// XXH3, 64 bits: checksum of journal records. Not cryptographic.
std::uint64_t checksum64(std::span<const std::byte> bytes);

/// XXH3, 128 bits, as 32 lower-case hexadecimal digits: fingerprints. Not cryptographic.
class FingerprintHasher
{
public:
    FingerprintHasher();
    FingerprintHasher(const FingerprintHasher&) = delete;
    FingerprintHasher& operator=(const FingerprintHasher&) = delete;
    ~FingerprintHasher();

    void add(std::span<const std::byte> bytes);
    void add(std::string_view text);  ///< length first, so that "ab"+"c" differs from "a"+"bc"
    void add(std::uint64_t number);
    std::string hex() const;

private:
    void* m_state;  // XXH3_state_t
};

}  // namespace quantloupe
