// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/tensor/tensor_view.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace quantloupe {

/// One tensor as a safetensors header describes it, checked.
struct SafetensorsEntry {
    std::string name;
    DType dtype = DType::F32;
    Shape shape {};
    std::uint64_t begin = 0;   ///< first byte, from the start of the file
    std::uint64_t end = 0;     ///< one past the last byte
    std::uint64_t offset = 0;  ///< where the header names the tensor
};

struct SafetensorsHeader {
    std::vector<SafetensorsEntry> entries;                      ///< in the order of their data
    std::vector<std::pair<std::string, std::string>> metadata;  ///< `__metadata__`, in file order
    std::uint64_t unknownKeys = 0;                              ///< in tensor entries
};

/// Reads and checks the header of a whole safetensors file. `where` names the file.
/// The tensors fill the data section without hole, overlap or rest.
/// Errors: Truncated, Malformed, Unsupported (unknown dtype), each with the byte.
/// Source: https://github.com/huggingface/safetensors#format and interop notes, section 2.
Result<SafetensorsHeader> readSafetensorsHeader(Bytes file, const std::string& where);

}  // namespace quantloupe
