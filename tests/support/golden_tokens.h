// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "tests/support/shared_data.h"

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace quantloupe::tests {

/// The sequences of 257 token ids in a .npy file of the golden set, [S][257] as uint16. Empty: not such a file.
inline std::vector<std::vector<std::uint32_t>> goldenTokens(const std::string& name)
{
    constexpr std::size_t length = 257;
    std::ifstream file(golden() / "tokens" / (name + ".npy"), std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)), {});
    if (bytes.size() < 10 || bytes.find("'<u2'") == std::string::npos)
        return {};
    const std::size_t start = 10 + static_cast<unsigned char>(bytes[8]) + 256U * static_cast<unsigned char>(bytes[9]);
    std::vector<std::vector<std::uint32_t>> sequences((bytes.size() - start) / (2 * length));
    for (std::size_t i = 0; i < sequences.size(); ++i)
        for (std::size_t t = 0; t < length; ++t) {
            std::uint16_t token = 0;
            std::memcpy(&token, bytes.data() + start + 2 * (i * length + t), 2);
            sequences[i].push_back(token);
        }
    return sequences;
}

}  // namespace quantloupe::tests
