// SPDX-License-Identifier: GPL-3.0-or-later
// compressed-tensors: pack-quantized integers, int-quantized and float-quantized elements, mxfp4, in safetensors with a
// config.json that says so. Source: interop notes on checkpoints, section 4.
#include "core/checkpoints/safetensors_folder.h"
#include "core/export_targets/emission.h"
#include "core/export_targets/quantization_config.h"
#include "core/file_formats/packed_layouts/stored_parts.h"
#include "core/number_formats/bit_packing.h"
#include "core/schemes/format_traits.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace quantloupe::checkpoints {
namespace {

using Kind = Granularity::Kind;

/// What a packer must know of its weight.
struct Parts {
    std::size_t codes = 0, scales = 0;
    std::optional<std::size_t> zeros {};
    DType scaleType = DType::F16;
    unsigned bits = 8;
    std::uint64_t columns = 0, rowsPerUnit = 1;
    bool wholeTensor = false;
};

tl::unexpected<Error> refuse(const std::string& tensor, const Scheme& scheme, const std::string& why)
{
    return failure(ErrorCode::Unsupported, tensor, "compressed-tensors cannot hold " + scheme.toString() + ": " + why);
}

/// Scales of the rows' units behind those of the rows before; all of them at once where the tensor has one.
void writeScales(const Parts& parts, const QuantizedRows& rows, RegionWriter& out)
{
    if (parts.wholeTensor && rows.firstRow > 0)
        return;
    std::vector<std::byte> bytes;
    for (const auto& grid : rows.grids)
        appendScale(bytes, parts.scaleType, grid.scale);
    const auto units = rows.grids.size() / ((rows.rowCount + parts.rowsPerUnit - 1) / parts.rowsPerUnit);
    const auto bytesPerBand = units * traitsOf(parts.scaleType).blockBytes;
    out.write(parts.scales, parts.wholeTensor ? 0 : rows.firstRow / parts.rowsPerUnit * bytesPerBand, bytes);
}

/// Sets code `index` of a bit stream in words `stride` words apart, the first code in the lowest bits.
void putCode(std::span<std::uint32_t> words, std::size_t stride, std::size_t index, unsigned bits, std::uint32_t code)
{
    const auto bit = index * bits, word = bit / 32, shift = bit % 32;
    words[word * stride] |= code << shift;
    if (shift + bits > 32)
        words[(word + 1) * stride] |= code >> (32 - shift);
}

/// Rows are bit streams of whole words; what fills the last word of a row is 0. Earlier versions of the library had
/// words of ⌊32 / bits⌋ codes, which is the same where bits divide 32.
void packWords(const Parts& parts, const QuantizedRows& rows, RegionWriter& out)
{
    const auto words = static_cast<std::size_t>(ceilDivide(rows.columns * parts.bits, 32));
    std::vector<std::uint32_t> packed(rows.rowCount * words);
    for (std::size_t row = 0; row < rows.rowCount; ++row) {
        const auto codes = rows.rowCodes(row);
        for (std::size_t column = 0; column < rows.columns; ++column)
            putCode(std::span(packed).subspan(row * words, words), 1, column, parts.bits, codes[column]);
    }
    out.write(parts.codes, rows.firstRow * words * 4, std::as_bytes(std::span<const std::uint32_t>(packed)));
    writeScales(parts, rows, out);
    if (!parts.zeros)
        return;
    // The same along the output channels: a column of words for each group.
    const auto groups = rows.grids.size() / rows.rowCount;
    std::vector<std::uint32_t> zeros(static_cast<std::size_t>(ceilDivide(rows.rowCount * parts.bits, 32)) * groups);
    for (std::size_t row = 0; row < rows.rowCount; ++row)
        for (std::size_t group = 0; group < groups; ++group)
            putCode(std::span(zeros).subspan(group), groups, row, parts.bits,
                static_cast<std::uint32_t>(rows.grids[row * groups + group].zero));
    out.write(*parts.zeros, rows.firstRow * parts.bits / 32 * groups * 4,
        std::as_bytes(std::span<const std::uint32_t>(zeros)));
}

/// One byte per element: signed integers, or the bit pattern of an FP8 number.
void packBytes(const Parts& parts, bool integers, const QuantizedRows& rows, RegionWriter& out)
{
    const std::uint32_t middle = integers ? 1U << (parts.bits - 1) : 0U;
    std::vector<std::byte> bytes(rows.codes.size());
    std::transform(rows.codes.begin(), rows.codes.end(), bytes.begin(),
        [middle](std::uint32_t code) { return static_cast<std::byte>((code - middle) & 0xffU); });
    out.write(parts.codes, rows.firstRow * rows.columns, bytes);
    writeScales(parts, rows, out);
    if (!parts.zeros || (parts.wholeTensor && rows.firstRow > 0))
        return;
    std::vector<std::byte> zeros;
    for (const auto& grid : rows.grids)
        zeros.push_back(static_cast<std::byte>((static_cast<std::uint32_t>(grid.zero) - middle) & 0xffU));
    const auto perBand = zeros.size() / ((rows.rowCount + parts.rowsPerUnit - 1) / parts.rowsPerUnit);
    out.write(*parts.zeros, parts.wholeTensor ? 0 : rows.firstRow / parts.rowsPerUnit * perBand, zeros);
}

/// Pairs of E2M1 codes and an exponent byte per 32.
void packPairs(const Parts& parts, const QuantizedRows& rows, RegionWriter& out)
{
    std::vector<std::byte> bytes(rows.codes.size() / 2);
    quantloupe::packBits(rows.codes, 4, bytes);
    out.write(parts.codes, rows.firstRow * rows.columns / 2, bytes);
    std::vector<std::byte> scales;
    for (const auto& grid : rows.grids)
        scales.push_back(static_cast<std::byte>(std::ilogb(grid.scale) + 127));
    out.write(parts.scales, rows.firstRow * (rows.columns / 32), scales);
}

Shape scaleShape(const Scheme& scheme, const MatrixShape& matrix)
{
    switch (scheme.granularity.kind) {
    case Kind::Tensor: return {1};
    case Kind::Block:
        return {
            ceilDivide(matrix.rows, scheme.granularity.rows), ceilDivide(matrix.columns, scheme.granularity.columns)};
    case Kind::Group: return {matrix.rows, ceilDivide(matrix.columns, scheme.granularity.columns)};
    default: return {matrix.rows, 1};
    }
}

Result<void> checkScheme(const ModelTensor& tensor, const Scheme& scheme, std::string_view format)
{
    if (auto codes = requireCodes(tensor.name, scheme); !codes)
        return codes;
    if (scheme.format != Format::Mxfp4 && !scaleType(scheme.scales))
        return refuse(tensor.name, scheme, "scales are stored as s32, s16 or sbf16 there");
    if (scheme.format == Format::Nvfp4)
        return refuse(tensor.name, scheme,
            "its scales are divided there by a factor that rounds differently, so that the values would not be those "
            "analysed");
    if (format == "pack-quantized" && scheme.granularity.kind != Kind::Group
        && scheme.granularity.kind != Kind::Channel)
        return refuse(tensor.name, scheme, "packed integers have scales of channels or groups");
    if (tensor.view.transposed || tensor.view.convolution || tensor.view.shape.size() != 2)
        return refuse(tensor.name, scheme, "it takes matrices of [out_features, in_features]");
    const auto bits = static_cast<std::uint64_t>(codeBits(scheme.format));
    const auto columns = matrixShape(tensor.view).columns;
    if (format == "pack-quantized" && 32 % bits != 0 && columns > 32 / bits
        && ceilDivide(columns, 32 / bits) == ceilDivide(columns * bits, 32))
        return refuse(tensor.name, scheme, "readers could not tell rows so short from those of its earlier versions");
    return {};
}

void addPacked(CheckpointDraft& draft, DraftTensor& tensor, const std::string& module, const MatrixShape& matrix,
    const Scheme& scheme, Parts parts)
{
    parts.codes = addStored(
        draft, module + ".weight_packed", DType::I32, {matrix.rows, ceilDivide(matrix.columns * parts.bits, 32)});
    const auto scales = scaleShape(scheme, matrix);
    parts.scales = addStored(draft, module + ".weight_scale", parts.scaleType, scales);
    if (scheme.symmetry == Symmetry::Asymmetric) {
        parts.zeros = addStored(
            draft, module + ".weight_zero_point", DType::I32, {ceilDivide(matrix.rows * parts.bits, 32), scales[1]});
        tensor.rowAlignment = 32;  // whole words, whatever the bits
    }
    const auto shape = addStored(draft, module + ".weight_shape", DType::I64, {2});
    tensor.pack = [parts, shape, matrix](const QuantizedRows& rows, RegionWriter& out) {
        packWords(parts, rows, out);
        if (rows.firstRow == 0) {
            const std::array<std::uint64_t, 2> extents {matrix.rows, matrix.columns};
            out.write(shape, 0, std::as_bytes(std::span<const std::uint64_t>(extents)));
        }
    };
}

void addElements(CheckpointDraft& draft, DraftTensor& tensor, const std::string& module, const MatrixShape& matrix,
    const Scheme& scheme, Parts parts)
{
    const bool integers = isInteger(scheme.format);
    parts.codes =
        addStored(draft, module + ".weight", integers ? DType::I8 : DType::F8_E4M3, {matrix.rows, matrix.columns});
    const auto scales = scaleShape(scheme, matrix);
    parts.scales = addStored(draft, module + ".weight_scale", parts.scaleType, scales);
    if (scheme.symmetry == Symmetry::Asymmetric)
        parts.zeros = addStored(draft, module + ".weight_zero_point", DType::I8, scales);
    tensor.pack = [parts, integers](
                      const QuantizedRows& rows, RegionWriter& out) { packBytes(parts, integers, rows, out); };
}

void addMicroscaled(
    CheckpointDraft& draft, DraftTensor& tensor, const std::string& module, const MatrixShape& matrix, Parts parts)
{
    parts.codes = addStored(draft, module + ".weight_packed", DType::U8, {matrix.rows, matrix.columns / 2});
    parts.scales = addStored(draft, module + ".weight_scale", DType::U8, {matrix.rows, matrix.columns / 32});
    tensor.pack = [parts](const QuantizedRows& rows, RegionWriter& out) { packPairs(parts, rows, out); };
}

Result<void> addQuantized(
    CheckpointDraft& draft, const CheckpointRequest& request, const PlannedTensor& planned, const Scheme& scheme)
{
    const auto& source = request.model->tensors[planned.tensor];
    const auto format = compressedTensorsFormat(scheme, !planned.activations);
    if (auto fine = checkScheme(source, scheme, format); !fine)
        return fine;
    if (planned.activations && planned.activations->granularity.kind != Kind::Token)
        return refuse(source.name, scheme,
            "inputs of " + planned.activations->toString() + " need scales that only calibration gives, use token");
    const auto matrix = matrixShape(source.view);
    Parts parts {.scaleType = scaleType(scheme.scales).value_or(DType::F16),
        .bits = static_cast<unsigned>(codeBits(scheme.format)),
        .columns = matrix.columns,
        .rowsPerUnit = scheme.granularity.kind == Kind::Block ? scheme.granularity.rows : 1,
        .wholeTensor = scheme.granularity.kind == Kind::Tensor};
    DraftTensor tensor {.source = planned.tensor, .scheme = scheme, .readBack = {.name = source.name}};
    const std::string module(moduleOfWeight(source.name));
    if (format == "pack-quantized")
        addPacked(draft, tensor, module, matrix, scheme, parts);
    else if (format == "mxfp4-pack-quantized")
        addMicroscaled(draft, tensor, module, matrix, parts);
    else
        addElements(draft, tensor, module, matrix, scheme, parts);
    draft.tensors.push_back(std::move(tensor));
    return {};
}

/// Whether codes lie across words, which the library reads from version 0.18 on.
bool straddlesWords(const Plan& plan)
{
    return std::any_of(plan.tensors.begin(), plan.tensors.end(), [](const PlannedTensor& planned) {
        return planned.scheme && isInteger(planned.scheme->format)
            && compressedTensorsFormat(*planned.scheme, !planned.activations) == "pack-quantized"
            && 32 % static_cast<unsigned>(codeBits(planned.scheme->format)) != 0;
    });
}

Result<CheckpointDraft> draft(const CheckpointRequest& request)
{
    auto quantization = compressedTensorsConfig(request.recipe, request.plan, request.catalog);
    if (!quantization)
        return tl::unexpected(quantization.error());
    auto config = configBeside(*request.model);
    if (!config)
        return tl::unexpected(config.error());
    auto result = folderDraft(request);
    const auto tied = tiedHead(request.catalog);
    for (const auto& planned : request.plan.tensors) {
        if (tied == planned.tensor)
            continue;  // the embedding, which is written already
        if (!planned.scheme) {
            addKept(result, request, planned.tensor);
            continue;
        }
        if (traitsOf(planned.scheme->format).family == FormatFamily::Plain) {
            addFloats(result, request, planned.tensor, *planned.scheme);
            continue;
        }
        if (auto added = addQuantized(result, request, planned, *planned.scheme); !added)
            return tl::unexpected(added.error());
    }
    layOutSafetensors(result, request.shardBytes);
    if (straddlesWords(request.plan)) {
        (*quantization)["version"] = "0.18.0";
        result.warnings.emplace_back(
            "Codes of 3, 5, 6 and 7 bits are packed in a stream, as compressed-tensors reads them "
            "from 0.18 on: earlier versions take them for other values.");
    }
    (*config)["quantization_config"] = std::move(*quantization);
    addTextFile(result, "config.json", config->dump(2) + "\n");
    warnOfSplitFusedTensors(request.plan, request.catalog, result.warnings);
    return result;
}

}  // namespace

extern const CheckpointTarget compressed_tensors;
const CheckpointTarget compressed_tensors {
    .name = "compressed-tensors-checkpoint",
    .title = "compressed-tensors checkpoint",
    .description =
        "A folder of safetensors that vLLM and Transformers load: integers of 2 to 8 bits packed by channel or group, "
        "int8 and FP8 elements (for quantized inputs per token as well), mxfp4. Rotations and other algorithms that "
        "change what runs are refused.",
    .suffix = "",
    .draft = &draft,
};

}  // namespace quantloupe::checkpoints
