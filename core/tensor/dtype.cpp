// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/tensor/dtype.h"

#include "core/tensor/ggml_block_types.h"

#include <array>

namespace quantloupe {
namespace {

constexpr DTypeTraits blocks(DType type, std::string_view name)
{
    const auto size = kernels::ggmlBlockSize(ggmlBlockOf(type));
    return {type, name, static_cast<unsigned>(size.elements), static_cast<unsigned>(size.bytes), true};
}

// In the order of the enumeration: traitsOf() indexes.
constexpr std::array kTable {
    DTypeTraits {DType::F64, "F64", 1, 8, true},
    DTypeTraits {DType::F32, "F32", 1, 4, true},
    DTypeTraits {DType::F16, "F16", 1, 2, true},
    DTypeTraits {DType::BF16, "BF16", 1, 2, true},
    DTypeTraits {DType::F8_E4M3, "F8_E4M3", 1, 1, true},
    DTypeTraits {DType::F8_E5M2, "F8_E5M2", 1, 1, true},
    DTypeTraits {DType::F8_E8M0, "F8_E8M0", 1, 1, true},
    DTypeTraits {DType::F6_E2M3, "F6_E2M3", 4, 3, false},  // the packing order is not documented anywhere
    DTypeTraits {DType::F6_E3M2, "F6_E3M2", 4, 3, false},
    DTypeTraits {DType::F4, "F4", 2, 1, true},
    DTypeTraits {DType::Bool, "BOOL", 1, 1, true},
    DTypeTraits {DType::U8, "U8", 1, 1, true},
    DTypeTraits {DType::I8, "I8", 1, 1, true},
    DTypeTraits {DType::U16, "U16", 1, 2, true},
    DTypeTraits {DType::I16, "I16", 1, 2, true},
    DTypeTraits {DType::U32, "U32", 1, 4, true},
    DTypeTraits {DType::I32, "I32", 1, 4, true},
    DTypeTraits {DType::U64, "U64", 1, 8, true},
    DTypeTraits {DType::I64, "I64", 1, 8, true},
    DTypeTraits {DType::C64, "C64", 1, 8, false},
    DTypeTraits {DType::C128, "C128", 1, 16, false},
    DTypeTraits {DType::F8_E4M3FNUZ, "F8_E4M3FNUZ", 1, 1, false},
    DTypeTraits {DType::F8_E5M2FNUZ, "F8_E5M2FNUZ", 1, 1, false},
    DTypeTraits {DType::U4, "U4", 2, 1, true},
    DTypeTraits {DType::I4, "I4", 2, 1, true},
    DTypeTraits {DType::U2, "U2", 4, 1, true},
    DTypeTraits {DType::I2, "I2", 4, 1, true},
    blocks(DType::Q4_0, "q4_0"),
    blocks(DType::Q4_1, "q4_1"),
    blocks(DType::Q5_0, "q5_0"),
    blocks(DType::Q5_1, "q5_1"),
    blocks(DType::Q8_0, "q8_0"),
    blocks(DType::Q8_1, "q8_1"),
    blocks(DType::Q2_K, "q2_K"),
    blocks(DType::Q3_K, "q3_K"),
    blocks(DType::Q4_K, "q4_K"),
    blocks(DType::Q5_K, "q5_K"),
    blocks(DType::Q6_K, "q6_K"),
    blocks(DType::Q8_K, "q8_K"),
    blocks(DType::IQ1_S, "iq1_s"),
    blocks(DType::IQ1_M, "iq1_m"),
    blocks(DType::IQ2_XXS, "iq2_xxs"),
    blocks(DType::IQ2_XS, "iq2_xs"),
    blocks(DType::IQ2_S, "iq2_s"),
    blocks(DType::IQ3_XXS, "iq3_xxs"),
    blocks(DType::IQ3_S, "iq3_s"),
    blocks(DType::IQ4_NL, "iq4_nl"),
    blocks(DType::IQ4_XS, "iq4_xs"),
    blocks(DType::TQ1_0, "tq1_0"),
    blocks(DType::TQ2_0, "tq2_0"),
    blocks(DType::MXFP4, "mxfp4"),
    blocks(DType::NVFP4, "nvfp4"),
    blocks(DType::Q1_0, "q1_0"),
    blocks(DType::Q2_0, "q2_0"),
};

constexpr bool inOrder()
{
    for (std::size_t i = 0; i < kTable.size(); ++i)
        if (static_cast<std::size_t>(kTable[i].type) != i)
            return false;
    return true;
}
static_assert(inOrder());
static_assert(kTable.size() == static_cast<std::size_t>(DType::Q2_0) + 1);

}  // namespace

const DTypeTraits& traitsOf(DType type)
{
    return kTable[static_cast<std::size_t>(type)];
}

double bitsPerElement(DType type)
{
    const auto& traits = traitsOf(type);
    return 8.0 * traits.blockBytes / traits.blockElements;
}

std::optional<std::uint64_t> byteCount(std::uint64_t elements, DType type)
{
    const auto& traits = traitsOf(type);
    if (elements % traits.blockElements != 0)
        return std::nullopt;
    std::uint64_t bytes = 0;
    if (__builtin_mul_overflow(elements / traits.blockElements, std::uint64_t {traits.blockBytes}, &bytes))
        return std::nullopt;
    return bytes;
}

}  // namespace quantloupe
