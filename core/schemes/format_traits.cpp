// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/schemes/format_traits.h"

#include <array>
#include <charconv>

namespace quantloupe {
namespace {

using GranularityKind = Granularity::Kind;
using enum FormatFamily;

constexpr Granularity g128 {GranularityKind::Group, 0, 128};
constexpr Granularity g64 {GranularityKind::Group, 0, 64};
constexpr Granularity channel {GranularityKind::Channel, 0, 0};
constexpr Granularity tensor {GranularityKind::Tensor, 0, 0};
constexpr Granularity own {GranularityKind::Own, 0, 0};

// In the order of the enumeration, so that a format is its own index. Block sizes: OCP MX 1.0 (32 elements and one E8M0
// byte), NVFP4 (16 elements and one E4M3 byte, FP32 per tensor), ggml's block structures.
constexpr std::array table {
    FormatTraits {Format::Int2, "int2", Integer, 2, g128},
    FormatTraits {Format::Int3, "int3", Integer, 3, g128},
    FormatTraits {Format::Int4, "int4", Integer, 4, g128},
    FormatTraits {Format::Int5, "int5", Integer, 5, channel},
    FormatTraits {Format::Int6, "int6", Integer, 6, channel},
    FormatTraits {Format::Int7, "int7", Integer, 7, channel},
    FormatTraits {Format::Int8, "int8", Integer, 8, channel},
    FormatTraits {Format::Int16, "int16", Integer, 16, channel},
    FormatTraits {Format::Ternary, "ternary", Ternary, 1.6, tensor},
    FormatTraits {Format::Fp32, "fp32", Plain, 32, own},
    FormatTraits {Format::Fp16, "fp16", Plain, 16, own},
    FormatTraits {Format::Bf16, "bf16", Plain, 16, own},
    FormatTraits {Format::Fp8E4M3, "fp8_e4m3", SmallFloat, 8, channel},
    FormatTraits {Format::Fp8E5M2, "fp8_e5m2", SmallFloat, 8, channel},
    FormatTraits {Format::Fp6E2M3, "fp6_e2m3", SmallFloat, 6, channel},
    FormatTraits {Format::Fp6E3M2, "fp6_e3m2", SmallFloat, 6, channel},
    FormatTraits {Format::Fp4E2M1, "fp4_e2m1", SmallFloat, 4, channel},
    FormatTraits {Format::Nf4, "nf4", CodeBook, 4, g64},
    FormatTraits {Format::Fp4Bnb, "fp4_bnb", CodeBook, 4, g64},
    FormatTraits {Format::Lut2, "lut2", LookUpTable, 2, channel},
    FormatTraits {Format::Lut3, "lut3", LookUpTable, 3, channel},
    FormatTraits {Format::Lut4, "lut4", LookUpTable, 4, channel},
    FormatTraits {Format::Pot3, "pot3", PowerOfTwo, 3, channel},
    FormatTraits {Format::Pot4, "pot4", PowerOfTwo, 4, channel},
    FormatTraits {Format::Pot5, "pot5", PowerOfTwo, 5, channel},
    FormatTraits {Format::Mxfp8E4M3, "mxfp8_e4m3", Block, 8, own, 32, 33},
    FormatTraits {Format::Mxfp8E5M2, "mxfp8_e5m2", Block, 8, own, 32, 33},
    FormatTraits {Format::Mxfp6E2M3, "mxfp6_e2m3", Block, 6, own, 32, 25},
    FormatTraits {Format::Mxfp6E3M2, "mxfp6_e3m2", Block, 6, own, 32, 25},
    FormatTraits {Format::Mxfp4, "mxfp4", Block, 4, own, 32, 17},
    FormatTraits {Format::Nvfp4, "nvfp4", Block, 4, own, 16, 9, 4},
    FormatTraits {Format::Mxint8, "mxint8", Block, 8, own, 32, 33},
    FormatTraits {Format::Q4_0, "q4_0", Block, 4, own, 32, 18},
    FormatTraits {Format::Q4_1, "q4_1", Block, 4, own, 32, 20},
    FormatTraits {Format::Q5_0, "q5_0", Block, 5, own, 32, 22},
    FormatTraits {Format::Q5_1, "q5_1", Block, 5, own, 32, 24},
    FormatTraits {Format::Q8_0, "q8_0", Block, 8, own, 32, 34},
    FormatTraits {Format::Q2_K, "q2_k", Block, 2, own, 256, 84},
    FormatTraits {Format::Q3_K, "q3_k", Block, 3, own, 256, 110},
    FormatTraits {Format::Q4_K, "q4_k", Block, 4, own, 256, 144},
    FormatTraits {Format::Q5_K, "q5_k", Block, 5, own, 256, 176},
    FormatTraits {Format::Q6_K, "q6_k", Block, 6, own, 256, 210},
    FormatTraits {Format::Iq4Nl, "iq4_nl", Block, 4, own, 32, 18},
    FormatTraits {Format::Iq4Xs, "iq4_xs", Block, 4, own, 256, 136},
};

constexpr bool tableFollowsEnumeration()
{
    for (std::size_t i = 0; i < table.size(); ++i)
        if (static_cast<std::size_t>(table[i].format) != i)
            return false;
    return true;
}
static_assert(tableFollowsEnumeration());

constexpr auto everyFormat = [] {
    std::array<Format, table.size()> result {};
    for (std::size_t i = 0; i < table.size(); ++i)
        result[i] = table[i].format;
    return result;
}();

}  // namespace

const FormatTraits& traitsOf(Format format)
{
    return table[static_cast<std::size_t>(format)];
}
double codeBits(Format format)
{
    return traitsOf(format).codeBits;
}
std::string_view nameOf(Format format)
{
    return traitsOf(format).name;
}
std::span<const Format> allFormats()
{
    return everyFormat;
}
bool isInteger(Format format)
{
    return traitsOf(format).family == FormatFamily::Integer;
}

std::string_view nameOf(Algorithm algorithm)
{
    switch (algorithm) {
    case Algorithm::Gptq: return "gptq";
    case Algorithm::Cd: return "cd";
    case Algorithm::Awq: return "awq";
    case Algorithm::Smooth: return "smooth";
    case Algorithm::Hqq: return "hqq";
    case Algorithm::AdaRound: return "adaround";
    case Algorithm::Hadamard: return "hadamard";
    case Algorithm::BiasCorrection: return "biascorr";
    case Algorithm::Equalization: return "cle";
    case Algorithm::Imatrix: return "imatrix";
    case Algorithm::Qat: return "qat";
    }
    return {};
}

std::string_view wordOf(Symmetry symmetry)
{
    switch (symmetry) {
    case Symmetry::Symmetric: return "sym";
    case Symmetry::SymmetricFull: return "symf";
    case Symmetry::Asymmetric: return "asym";
    case Symmetry::AsymmetricFloat: return "asymf";
    }
    return {};
}

std::string_view wordOf(ScaleStorage storage)
{
    switch (storage) {
    case ScaleStorage::Float32: return "s32";
    case ScaleStorage::Float16: return "s16";
    case ScaleStorage::BFloat16: return "sbf16";
    case ScaleStorage::E8M0: return "se8m0";
    case ScaleStorage::Double8: return "s8";
    }
    return {};
}

std::string wordOf(const Granularity& granularity)
{
    switch (granularity.kind) {
    case GranularityKind::Tensor: return "tensor";
    case GranularityKind::Channel: return "channel";
    case GranularityKind::Group: return std::string("g").append(std::to_string(granularity.columns));
    case GranularityKind::Block:
        return std::string("b")
            .append(std::to_string(granularity.rows))
            .append("x")
            .append(std::to_string(granularity.columns));
    case GranularityKind::Token: return "token";
    case GranularityKind::Own: return {};
    }
    return {};
}

std::string wordOf(const RangeEstimator& range)
{
    switch (range.kind) {
    case RangeEstimator::Kind::MinMax: return "minmax";
    case RangeEstimator::Kind::Mse: return "mse";
    case RangeEstimator::Kind::Entropy: return "entropy";
    case RangeEstimator::Kind::Percentile: break;
    }
    // Shortest decimal that reads back to the same double; a fixed one may need 324 places.
    std::array<char, 400> digits {};
    const auto end =
        std::to_chars(digits.data(), digits.data() + digits.size(), range.percentile, std::chars_format::fixed);
    return std::string("p").append(digits.data(), end.ptr);
}

}  // namespace quantloupe
