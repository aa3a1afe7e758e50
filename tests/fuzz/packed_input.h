// SPDX-License-Identifier: GPL-3.0-or-later
// Stored tensors of packed weights in few bytes, so that a changed byte is another shape, type or name and not a broken
// header: u8 config, then u8 name, u8 type, u8 rank, u8 extents…, u8 count of bytes that are not zero, these bytes.
#pragma once

#include "core/tensor/dtype.h"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace quantloupe::tests {

inline constexpr std::array<std::string_view, 46> kPackedSuffixes {".weight", ".qweight", ".qzeros", ".scales",
    ".g_idx", ".weight_packed", ".weight_scale", ".weight_scale_inv", ".weight_scale_2", ".weight_global_scale",
    ".weight_zero_point", ".weight_shape", ".weight_g_idx", ".biases", "_blocks", "_scales", ".SCB", ".weight_format",
    ".weight.absmax", ".weight.quant_map", ".weight.nested_absmax", ".weight.nested_quant_map",
    ".weight.quant_state.bitsandbytes__nf4", ".weight.quant_state.bitsandbytes__fp4", ".W_q", ".scale", ".zero",
    ".shape", ".nbits", ".axis", ".group_size", ".packing", ".scale_q", ".zero_q", ".zero_scale", ".quant_scale",
    ".quant_zero", ".channel_wise", ".optimize", ".round_zero", ".view_as_float", ".unpack_view_dtype",
    ".compute_dtype", ".scale_packed", ".meta", ".bias"};

inline constexpr std::array kPackedTypes {DType::I32, DType::U32, DType::U8, DType::I8, DType::F16, DType::BF16,
    DType::F32, DType::F8_E4M3, DType::F8_E5M2, DType::F8_E8M0, DType::I64, DType::I16, DType::F64, DType::Bool};

inline constexpr std::array<std::string_view, 12> kPackedConfigs {"{}",
    R"({"quantization_config":{"quant_method":"gptq","bits":4,"group_size":16,"sym":true}})",
    R"({"quantization_config":{"quant_method":"gptq","bits":3,"checkpoint_format":"gptq_v2"}})",
    R"({"quantization_config":{"quant_method":"awq","bits":4,"group_size":32,"version":"gemm"}})",
    R"({"quantization_config":{"quant_method":"bitnet","linear_class":"autobitlinear"}})",
    R"({"quantization_config":{"quant_method":"fp8","weight_block_size":[4,8]}})",
    R"({"quantization_config":{"quant_method":"compressed-tensors","config_groups":{"group_0":{"weights":{"num_bits":4,"group_size":32,"symmetric":false}}}}})",
    R"({"quantization":{"group_size":32,"bits":4,"a":{"group_size":64,"bits":3}}})",
    R"({"quantization":{"group_size":32,"bits":4,"mode":"mxfp4"}})",
    R"({"quantization":{"group_size":16,"bits":4,"mode":"nvfp4"}})",
    R"({"quantization":{"group_size":32,"bits":8,"mode":"mxfp8"}})",
    R"({"quantization_config":{"quant_method":"hqq"}})"};

/// One tensor of a seed.
struct PackedPart {
    std::string_view suffix;
    DType dtype = DType::U8;
    std::vector<std::uint8_t> shape {};
    std::string bytes {};  ///< the first ones; zeros follow
};

/// @pre suffixes and types are in the tables above
inline std::string packedInput(std::uint8_t config, const std::vector<PackedPart>& parts)
{
    const auto place = [](const auto& table, const auto& wanted) {
        std::uint8_t i = 0;
        while (table[i] != wanted)
            ++i;
        return static_cast<char>(i);
    };
    std::string input(1, static_cast<char>(config));
    for (const auto& part : parts) {
        input += place(kPackedSuffixes, part.suffix);
        input += place(kPackedTypes, part.dtype);
        input += static_cast<char>(part.shape.size());
        input.append(part.shape.begin(), part.shape.end());
        input += static_cast<char>(part.bytes.size());
        input += part.bytes;
    }
    return input;
}

}  // namespace quantloupe::tests
