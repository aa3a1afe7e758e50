// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/checkpoints/float_bytes.h"

#include "core/kernels/float_rounding.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace quantloupe {
namespace {

/// Rows of a matrix whose output channels come last: a column of a tile is one run of the file.
RowPacker transposedPacker(std::size_t stored, DType type, std::uint64_t outs)
{
    return [stored, type, outs](const QuantizedRows& rows, RegionWriter& out) {
        const std::uint64_t size = traitsOf(type).blockBytes;
        std::vector<float> run;
        std::vector<std::byte> bytes;
        for (std::size_t begin = 0; begin < rows.rowCount;) {
            const auto row = rows.firstRow + begin;
            const auto slice = row / outs;
            const auto end = std::min(rows.rowCount, static_cast<std::size_t>((slice + 1) * outs - rows.firstRow));
            for (std::size_t column = 0; column < rows.columns; ++column) {
                run.clear();
                for (auto r = begin; r < end; ++r)
                    run.push_back(rows.values[r * rows.columns + column]);
                bytes.clear();
                appendFloats(bytes, type, run);
                out.write(stored, ((slice * rows.columns + column) * outs + row % outs) * size, bytes);
            }
            begin = end;
        }
    };
}

RowPacker plainPacker(std::size_t stored, DType type)
{
    return [stored, type](const QuantizedRows& rows, RegionWriter& out) {
        std::vector<std::byte> bytes;
        appendFloats(bytes, type, rows.values);
        out.write(stored, rows.firstRow * rows.columns * traitsOf(type).blockBytes, bytes);
    };
}

}  // namespace

std::optional<DType> scaleType(ScaleStorage storage)
{
    switch (storage) {
    case ScaleStorage::Float32: return DType::F32;
    case ScaleStorage::Float16: return DType::F16;
    case ScaleStorage::BFloat16: return DType::BF16;
    default: return std::nullopt;
    }
}

void appendFloats(std::vector<std::byte>& bytes, DType type, std::span<const float> values)
{
    if (type == DType::F32) {
        const auto raw = std::as_bytes(values);
        bytes.insert(bytes.end(), raw.begin(), raw.end());
        return;
    }
    std::vector<std::uint32_t> codes(values.size());
    kernels::floatEncode(type == DType::BF16 ? kernels::FloatKind::BrainHalf : kernels::FloatKind::Half, values,
        {std::max<std::size_t>(1, values.size()), std::max<std::size_t>(1, values.size()), true}, {}, codes);
    const auto at = bytes.size();
    bytes.resize(at + 2 * codes.size());
    for (std::size_t i = 0; i < codes.size(); ++i) {
        const auto half = static_cast<std::uint16_t>(codes[i]);
        std::memcpy(bytes.data() + at + 2 * i, &half, sizeof half);
    }
}

void appendScale(std::vector<std::byte>& bytes, DType type, float scale)
{
    appendFloats(bytes, type, {&scale, 1});
}

Format plainFormat(DType type)
{
    return type == DType::F16 ? Format::Fp16 : type == DType::BF16 ? Format::Bf16 : Format::Fp32;
}

DType plainType(Format format)
{
    return format == Format::Fp16 ? DType::F16 : format == Format::Bf16 ? DType::BF16 : DType::F32;
}

DraftTensor floatTensor(std::size_t source, const TensorView& view, const std::string& name, std::size_t stored,
    DType type, const Scheme& scheme)
{
    DraftTensor tensor {.source = source, .scheme = scheme, .needsCodes = false, .readBack = {.name = name}};
    if (type != DType::F32)
        tensor.rounding = type;
    if (view.transposed && view.shape.size() >= 2) {
        constexpr std::uint64_t longRuns = 256;
        tensor.rowAlignment = longRuns;
        tensor.pack = transposedPacker(stored, type, view.shape.back());
    } else {
        tensor.pack = plainPacker(stored, type);
    }
    return tensor;
}

Result<void> requireCodes(const std::string& tensor, const Scheme& scheme)
{
    struct Reason {
        Algorithm algorithm;
        const char* why;
    };
    static constexpr std::array<Reason, 5> kReasons {{
        {Algorithm::Hadamard, "turns the inputs of the layer when the model runs, which the file cannot say"},
        {Algorithm::Smooth, "divides the layer before by what it multiplies this one by, which is not written"},
        {Algorithm::Awq, "divides the layer before by what it multiplies this one by, which is not written"},
        {Algorithm::Equalization, "divides the layer before by what it multiplies this one by, which is not written"},
        {Algorithm::BiasCorrection, "adds a factor and a shift per channel, for which the file has no place"},
    }};
    for (const auto& reason : kReasons)
        if (std::find(scheme.algorithms.begin(), scheme.algorithms.end(), reason.algorithm) != scheme.algorithms.end())
            return failure(ErrorCode::Unsupported, tensor,
                "algorithm " + std::string(nameOf(reason.algorithm)) + " " + reason.why
                    + "; fake-quantized weights can be written");
    return {};
}

}  // namespace quantloupe
