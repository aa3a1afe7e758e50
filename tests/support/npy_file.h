// SPDX-License-Identifier: GPL-3.0-or-later
// Reads numpy's .npy files of little-endian float32 or float64, version 1, C order: all that the golden vectors need.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

namespace quantloupe::tests {

struct NpyArray {
    std::vector<std::uint64_t> shape;
    std::vector<float> values;
};

/// nullopt: not such a file.
inline std::optional<NpyArray> readNpy(const std::filesystem::path& path)
{
    static_assert(std::endian::native == std::endian::little);
    std::ifstream file(path, std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)), {});
    if (bytes.size() < 10 || bytes.compare(0, 6, "\x93NUMPY") != 0)
        return std::nullopt;
    const std::size_t headerLength = static_cast<unsigned char>(bytes[8]) + 256U * static_cast<unsigned char>(bytes[9]);
    const std::string header = bytes.substr(10, headerLength);
    const bool isFloat32 = header.find("'<f4'") != std::string::npos;
    if (!isFloat32 && header.find("'<f8'") == std::string::npos)
        return std::nullopt;
    if (header.find("'fortran_order': False") == std::string::npos)
        return std::nullopt;
    NpyArray array;
    std::uint64_t count = 1;
    const std::size_t open = header.find('(');
    const std::size_t close = header.find(')', open);
    for (std::size_t at = open + 1; at < close;) {
        std::size_t used = 0;
        array.shape.push_back(std::stoull(header.substr(at), &used));
        count *= array.shape.back();
        at = header.find_first_of("0123456789", at + used);
    }
    const std::size_t start = 10 + headerLength;
    if (bytes.size() != start + count * (isFloat32 ? 4 : 8))
        return std::nullopt;
    array.values.resize(count);
    for (std::uint64_t i = 0; i < count; ++i) {
        if (isFloat32) {
            std::memcpy(&array.values[i], bytes.data() + start + i * 4, 4);
        } else {
            double wide = 0.0;
            std::memcpy(&wide, bytes.data() + start + i * 8, 8);
            array.values[i] = static_cast<float>(wide);
        }
    }
    return array;
}

}  // namespace quantloupe::tests
