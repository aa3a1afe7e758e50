// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/export_targets/ggml_types.h"

#include <algorithm>
#include <array>

namespace quantloupe {
namespace {

bool hasMinimum(const Scheme& scheme)
{
    return scheme.symmetry == Symmetry::Asymmetric || scheme.symmetry == Symmetry::AsymmetricFloat;
}

bool hasBlocksOf32(const Scheme& scheme)
{
    return scheme.granularity.kind == Granularity::Kind::Group && scheme.granularity.columns == 32;
}

constexpr std::string_view kBlocks = "ggml scales blocks of 32";
constexpr std::string_view kHalfScales = "ggml stores scales in FP16";
constexpr std::string_view kRestricted = "ggml uses one level more, on the side of the largest weight";
constexpr std::string_view kSubBlocks = "ggml scales sub-blocks inside blocks of 256, each with its minimum";

GgmlChoice choose(const Scheme& scheme, DType symmetric, DType withMinimum)
{
    if (hasMinimum(scheme)) {
        if (!hasBlocksOf32(scheme))
            return {withMinimum, kBlocks};
        if (scheme.symmetry == Symmetry::Asymmetric)
            return {withMinimum, "ggml stores a floating minimum"};
        return {withMinimum, scheme.scales == ScaleStorage::Float16 ? "" : kHalfScales};
    }
    if (!hasBlocksOf32(scheme))
        return {symmetric, kBlocks};
    if (scheme.symmetry == Symmetry::Symmetric)
        return {symmetric, kRestricted};
    return {symmetric, scheme.scales == ScaleStorage::Float16 ? "" : kHalfScales};
}

}  // namespace

std::optional<GgmlChoice> ggmlTypeFor(const Scheme& scheme)
{
    switch (scheme.format) {
    case Format::Fp32: return GgmlChoice {DType::F32};
    case Format::Fp16: return GgmlChoice {DType::F16};
    case Format::Bf16: return GgmlChoice {DType::BF16};
    case Format::Int8:
        if (hasMinimum(scheme))
            return GgmlChoice {DType::Q8_0, "ggml has no 8-bit type with a minimum"};
        if (!hasBlocksOf32(scheme))
            return GgmlChoice {DType::Q8_0, kBlocks};
        if (scheme.symmetry == Symmetry::SymmetricFull)
            return GgmlChoice {DType::Q8_0, "ggml leaves out the lowest level"};
        return GgmlChoice {DType::Q8_0, scheme.scales == ScaleStorage::Float16 ? "" : kHalfScales};
    case Format::Int7: return GgmlChoice {DType::Q8_0, "ggml has no 7-bit type: widened"};
    case Format::Int6: return GgmlChoice {DType::Q6_K, "ggml scales sub-blocks of 16 inside blocks of 256"};
    case Format::Int5: return choose(scheme, DType::Q5_0, DType::Q5_1);
    case Format::Int4:
        // At 4.5 bits the K type carries minimums for larger groups; q4_1 would take 5.
        if (hasMinimum(scheme) && !hasBlocksOf32(scheme))
            return GgmlChoice {DType::Q4_K, kSubBlocks};
        return choose(scheme, DType::Q4_0, DType::Q4_1);
    case Format::Int3: return GgmlChoice {DType::Q3_K, "ggml scales sub-blocks of 16 inside blocks of 256"};
    case Format::Int2: return GgmlChoice {DType::Q2_K, kSubBlocks};
    case Format::Nf4: return GgmlChoice {DType::IQ4_NL, "ggml has a code book of its own"};
    case Format::Ternary: return GgmlChoice {DType::TQ2_0, "ggml scales blocks of 256 by their largest weight"};
    case Format::Mxfp4: return GgmlChoice {DType::MXFP4};
    case Format::Q4_0: return GgmlChoice {DType::Q4_0};
    case Format::Q4_1: return GgmlChoice {DType::Q4_1};
    case Format::Q5_0: return GgmlChoice {DType::Q5_0};
    case Format::Q5_1: return GgmlChoice {DType::Q5_1};
    case Format::Q8_0: return GgmlChoice {DType::Q8_0};
    case Format::Q2_K: return GgmlChoice {DType::Q2_K};
    case Format::Q3_K: return GgmlChoice {DType::Q3_K};
    case Format::Q4_K: return GgmlChoice {DType::Q4_K};
    case Format::Q5_K: return GgmlChoice {DType::Q5_K};
    case Format::Q6_K: return GgmlChoice {DType::Q6_K};
    case Format::Iq4Nl: return GgmlChoice {DType::IQ4_NL};
    case Format::Iq4Xs: return GgmlChoice {DType::IQ4_XS};
    default: return std::nullopt;
    }
}

std::string ggmlTypeName(DType type)
{
    std::string name(nameOf(type));
    if (!isBlockType(type))
        std::transform(name.begin(), name.end(), name.begin(),
            [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    return name;
}

DType ggmlTypeForRow(DType type, std::uint64_t columns)
{
    const auto fits = [columns](DType candidate) { return columns % traitsOf(candidate).blockElements == 0; };
    if (fits(type))
        return type;
    DType fallback = DType::F16;
    switch (type) {
    case DType::IQ1_S:
    case DType::IQ1_M:
    case DType::IQ2_XXS:
    case DType::IQ2_XS:
    case DType::IQ2_S:
    case DType::IQ3_XXS:
    case DType::IQ3_S:
    case DType::IQ4_XS: fallback = DType::IQ4_NL; break;
    case DType::Q2_0:
    case DType::Q2_K:
    case DType::Q3_K:
    case DType::TQ1_0:
    case DType::TQ2_0: fallback = DType::Q4_0; break;
    case DType::Q4_K: fallback = DType::Q5_0; break;
    case DType::Q5_K: fallback = DType::Q5_1; break;
    case DType::Q6_K: fallback = DType::Q8_0; break;
    default: break;
    }
    return fits(fallback) ? fallback : DType::F16;
}

std::string_view ggmlFileType(DType type)
{
    switch (type) {
    case DType::F32: return "F32";
    case DType::F16: return "F16";
    case DType::BF16: return "BF16";
    case DType::Q4_0: return "Q4_0";
    case DType::Q4_1: return "Q4_1";
    case DType::Q5_0: return "Q5_0";
    case DType::Q5_1: return "Q5_1";
    case DType::Q8_0: return "Q8_0";
    case DType::Q2_K: return "Q2_K";
    case DType::Q3_K: return "Q3_K_S";
    case DType::Q4_K: return "Q4_K_S";
    case DType::Q5_K: return "Q5_K_S";
    case DType::Q6_K: return "Q6_K";
    case DType::IQ4_NL: return "IQ4_NL";
    case DType::IQ4_XS: return "IQ4_XS";
    case DType::TQ1_0: return "TQ1_0";
    case DType::TQ2_0: return "TQ2_0";
    case DType::MXFP4: return "MXFP4_MOE";
    default: return "";
    }
}

bool ggmlLeavesAlone(std::string_view ggufName, std::size_t rank, std::uint64_t rows)
{
    // A matrix of one row counts as a vector there: trailing extents of one are not dimensions.
    if (!ggufName.ends_with("weight") || rank < 2 || rows < 2)
        return true;
    static constexpr std::array<std::string_view, 14> kParts {"_norm.weight", "ffn_gate_inp.weight", "ffn_gate_tid2eid",
        "altup", "laurel", "per_layer_model_proj", "position_embd", "token_types", "ssm_conv1d", "shortconv.conv",
        "time_mix_", "attn_rel_b", "mm.", "v.blk."};
    return std::any_of(kParts.begin(), kParts.end(),
        [&](std::string_view part) { return ggufName.find(part) != std::string_view::npos; });
}

}  // namespace quantloupe
