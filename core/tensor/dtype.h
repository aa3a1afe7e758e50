// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace quantloupe {

/// How elements are stored in a file. Scalars of safetensors and GGUF first, then those that only ONNX has (the first
/// of a byte's small integers lies in its lowest bits), then ggml's block types.
enum class DType : std::uint8_t {
    F64,
    F32,
    F16,
    BF16,
    F8_E4M3,
    F8_E5M2,
    F8_E8M0,
    F6_E2M3,
    F6_E3M2,
    F4,
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    C64,
    C128,
    F8_E4M3FNUZ,
    F8_E5M2FNUZ,
    U4,
    I4,
    U2,
    I2,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q8_1,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
    Q8_K,
    IQ1_S,
    IQ1_M,
    IQ2_XXS,
    IQ2_XS,
    IQ2_S,
    IQ3_XXS,
    IQ3_S,
    IQ4_NL,
    IQ4_XS,
    TQ1_0,
    TQ2_0,
    MXFP4,
    NVFP4,
    Q1_0,
    Q2_0,
};

/// One row of the type table.
struct DTypeTraits {
    DType type;
    std::string_view name;   ///< as safetensors (F32, BF16, …) or ggml (q4_K, …) spell it
    unsigned blockElements;  ///< elements per block; 1 for scalars, 2 or 4 for what is smaller than a byte
    unsigned blockBytes;     ///< bytes per block
    bool decodable;          ///< decodeRows() turns it into float32
};

const DTypeTraits& traitsOf(DType type);
inline std::string_view nameOf(DType type)
{
    return traitsOf(type).name;
}

/// One of ggml's block types, q4_0 and on: weights with their scales.
inline bool isBlockType(DType type)
{
    return type >= DType::Q4_0;
}

/// Bits per element, block overhead included: 4.5 for q4_0.
double bitsPerElement(DType type);

/// Bytes of `elements` elements; nullopt when they do not fill whole blocks or the product overflows.
std::optional<std::uint64_t> byteCount(std::uint64_t elements, DType type);

}  // namespace quantloupe
