// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/file_formats/gguf_values.h"
#include "core/tensor/tensor_view.h"

#include <optional>
#include <string>
#include <vector>

namespace quantloupe {

struct GgufEntry {
    std::string key;
    GgufValue value;
};

/// One tensor as a GGUF header describes it, checked.
struct GgufTensor {
    std::string name;
    DType dtype = DType::F32;
    Shape shape {};           ///< outermost first, the reverse of the file's order
    std::uint64_t begin = 0;  ///< first byte, from the start of the file
    std::uint64_t bytes = 0;
    std::uint64_t offset = 0;  ///< where the header describes the tensor
};

struct GgufHeader {
    std::uint32_t version = 0;
    std::vector<GgufEntry> metadata;  ///< in file order
    std::vector<GgufTensor> tensors;  ///< in file order, which is that of their data
    std::uint64_t trailingBytes = 0;  ///< after the padded end of the last tensor

    const GgufValue* find(std::string_view key) const;
};

/// Reads and checks the header of a whole GGUF file, version 2 or 3, little-endian. The values point into `file`.
/// Errors: Truncated, Malformed, Unsupported (other versions, byte order, unknown tensor types), each with the byte.
/// Source: interop notes, section 3.
Result<GgufHeader> readGgufHeader(Bytes file, const std::string& where);

/// The number of a tensor type in the file; nullopt where GGUF has none.
std::optional<std::uint32_t> ggufTypeNumber(DType type);

}  // namespace quantloupe
