// SPDX-License-Identifier: GPL-3.0-or-later
// GPTQ's layout: qweight [in·bits/32, out], qzeros [groups, out·bits/32], scales [groups, out], g_idx [in], in
// safetensors with config.json and quantize_config.json. Source: interop notes on checkpoints, section 5.1.
#include "core/checkpoints/safetensors_folder.h"
#include "core/export_targets/emission.h"
#include "core/export_targets/quantization_config.h"
#include "core/file_formats/packed_layouts/stored_parts.h"

#include <algorithm>
#include <numeric>

namespace quantloupe::checkpoints {
namespace {

/// What a packer must know of its weight.
struct Parts {
    std::size_t codes = 0, zeros = 0, scales = 0, groupOfColumn = 0;
    unsigned bits = 4;
    std::uint64_t rows = 0, columns = 0, groups = 1, groupLength = 0;
    std::uint32_t zeroOffset = 0;  ///< that the first format subtracts
};

/// A number of `bits` bits, `index` numbers from the start of a bit stream of 32-bit words `stride` words apart.
void putBits(std::span<std::uint32_t> words, std::size_t first, std::size_t stride, std::size_t index, unsigned bits,
    std::uint32_t value)
{
    const auto bit = index * bits;
    const auto shift = bit % 32;
    words[first + bit / 32 * stride] |= value << shift;
    if (shift + bits > 32)
        words[first + (bit / 32 + 1) * stride] |= value >> (32 - shift);
}

/// Lines of a matrix that is `width` numbers of four bytes wide, each from `column` on.
void writeLines(std::size_t stored, std::span<const std::uint32_t> words, std::size_t count, std::uint64_t width,
    std::uint64_t column, RegionWriter& out)
{
    for (std::size_t line = 0; line * count < words.size(); ++line)
        out.write(stored, (line * width + column) * 4, std::as_bytes(words.subspan(line * count, count)));
}

void packCodes(const Parts& parts, const QuantizedRows& rows, RegionWriter& out)
{
    std::vector<std::uint32_t> words(rows.columns * parts.bits / 32 * rows.rowCount);
    for (std::size_t row = 0; row < rows.rowCount; ++row) {
        const auto codes = rows.rowCodes(row);
        for (std::size_t column = 0; column < codes.size(); ++column)
            putBits(words, row, rows.rowCount, column, parts.bits, codes[column]);
    }
    writeLines(parts.codes, words, rows.rowCount, parts.rows, rows.firstRow, out);
}

void packGrids(const Parts& parts, const QuantizedRows& rows, RegionWriter& out)
{
    const auto groups = static_cast<std::size_t>(parts.groups);
    const auto wordsPerLine = rows.rowCount * parts.bits / 32;
    std::vector<std::uint32_t> zeros(groups * wordsPerLine);
    for (std::size_t group = 0; group < groups; ++group) {
        std::vector<std::byte> scales;
        for (std::size_t row = 0; row < rows.rowCount; ++row) {
            const auto& grid = rows.grids[row * groups + group];
            const auto mask = (1U << parts.bits) - 1U;
            const auto zero = (static_cast<std::uint32_t>(grid.zero) - parts.zeroOffset) & mask;
            putBits(zeros, group * wordsPerLine, 1, row, parts.bits, zero);
            appendScale(scales, DType::F16, grid.scale);
        }
        out.write(parts.scales, (group * parts.rows + rows.firstRow) * 2, scales);
    }
    writeLines(parts.zeros, zeros, wordsPerLine, parts.rows * parts.bits / 32, rows.firstRow * parts.bits / 32, out);
}

void writeGroupNumbers(const Parts& parts, RegionWriter& out)
{
    std::vector<std::int32_t> numbers(static_cast<std::size_t>(parts.columns));
    for (std::size_t column = 0; column < numbers.size(); ++column)
        numbers[column] = static_cast<std::int32_t>(column / parts.groupLength);
    out.write(parts.groupOfColumn, 0, std::as_bytes(std::span<const std::int32_t>(numbers)));
}

tl::unexpected<Error> refuse(const std::string& tensor, const Scheme& scheme, const std::string& why)
{
    return failure(ErrorCode::Unsupported, tensor, "GPTQ cannot hold " + scheme.toString() + ": " + why);
}

Result<void> checkScheme(const ModelTensor& tensor, const Scheme& scheme, const MatrixShape& matrix)
{
    if (auto codes = requireCodes(tensor.name, scheme); !codes)
        return codes;
    const auto bits = static_cast<unsigned>(codeBits(scheme.format));
    if (bits != 2 && bits != 3 && bits != 4 && bits != 8)
        return refuse(tensor.name, scheme, "codes are packed by 2, 3, 4 or 8 bits");
    if (scheme.scales != ScaleStorage::Float16)
        return refuse(tensor.name, scheme, "scales are stored as FP16 there");
    if (tensor.view.transposed || tensor.view.convolution || tensor.view.shape.size() != 2)
        return refuse(tensor.name, scheme, "it takes matrices of [out_features, in_features]");
    if (matrix.rows % 32 != 0 || matrix.columns % 32 != 0)
        return refuse(tensor.name, scheme, "rows and columns must be multiples of 32");
    if (scheme.granularity.kind == Granularity::Kind::Group && matrix.columns % scheme.granularity.columns != 0)
        return refuse(tensor.name, scheme, "groups must divide the row");
    return {};
}

Result<void> addQuantized(
    CheckpointDraft& draft, const Model& model, std::size_t index, const Scheme& scheme, bool firstFormat)
{
    const auto& source = model.tensors[index];
    const auto matrix = matrixShape(source.view);
    if (auto fine = checkScheme(source, scheme, matrix); !fine)
        return fine;
    const bool grouped = scheme.granularity.kind == Granularity::Kind::Group;
    Parts parts {.bits = static_cast<unsigned>(codeBits(scheme.format)),
        .rows = matrix.rows,
        .columns = matrix.columns,
        .groupLength = grouped ? scheme.granularity.columns : matrix.columns,
        .zeroOffset = firstFormat ? 1U : 0U};
    parts.groups = ceilDivide(parts.columns, parts.groupLength);
    const std::string module(moduleOfWeight(source.name));
    parts.codes = addStored(draft, module + ".qweight", DType::I32, {matrix.columns * parts.bits / 32, matrix.rows});
    parts.zeros = addStored(draft, module + ".qzeros", DType::I32, {parts.groups, matrix.rows * parts.bits / 32});
    parts.scales = addStored(draft, module + ".scales", DType::F16, {parts.groups, matrix.rows});
    parts.groupOfColumn = addStored(draft, module + ".g_idx", DType::I32, {matrix.columns});
    // Lines of a tile are as long as the tile is high: few long writes instead of many short ones.
    constexpr std::uint64_t longLines = 256;
    draft.tensors.push_back({.source = index,
        .scheme = scheme,
        .pack =
            [parts](const QuantizedRows& rows, RegionWriter& out) {
                packCodes(parts, rows, out);
                packGrids(parts, rows, out);
                if (rows.firstRow == 0)
                    writeGroupNumbers(parts, out);
            },
        .rowAlignment = longLines,
        .readBack = {.name = source.name}});
    return {};
}

Result<CheckpointDraft> draft(const CheckpointRequest& request)
{
    if (request.model->naming != NamingWorld::HuggingFace)
        return failure(ErrorCode::Unsupported, request.catalog.path, "tensors have GGUF names: use the gguf target");
    const auto quantization = gptqConfig(request.plan, request.catalog);
    if (!quantization)
        return tl::unexpected(quantization.error());
    auto config = configBeside(*request.model);
    if (!config)
        return tl::unexpected(config.error());
    auto result = folderDraft(request);
    const bool firstFormat = (*quantization)["checkpoint_format"] == "gptq";
    const auto tied = tiedHead(request.catalog);
    for (const auto& planned : request.plan.tensors) {
        if (tied == planned.tensor)
            continue;
        if (!planned.scheme) {
            addKept(result, request, planned.tensor);
        } else if (const auto& tensor = request.catalog.tensors[planned.tensor]; !isLinearModule(tensor)) {
            addKept(result, request, planned.tensor);
            result.changes.push_back(
                {tensor.name, planned.scheme->toString(), tensor.storedAs(), "GPTQ quantizes linear layers only"});
        } else if (isPlainFloat(*planned.scheme)) {
            addFloats(result, request, planned.tensor, *planned.scheme);
        } else if (auto added = addQuantized(result, *request.model, planned.tensor, *planned.scheme, firstFormat);
                   !added) {
            return tl::unexpected(added.error());
        }
    }
    layOutSafetensors(result, request.shardBytes);
    (*config)["quantization_config"] = *quantization;
    addTextFile(result, "config.json", config->dump(2) + "\n");
    addTextFile(result, "quantize_config.json", quantization->dump(2) + "\n");
    warnOfSplitFusedTensors(request.plan, request.catalog, result.warnings);
    return result;
}

}  // namespace

extern const CheckpointTarget gptq;
const CheckpointTarget gptq {
    .name = "gptq",
    .title = "GPTQ checkpoint",
    .description = "A folder of safetensors in GPTQ's layout for vLLM, GPTQModel and Transformers: linear layers in "
                   "integers of 2, "
                   "3, 4 or 8 bits by channel or group, FP16 scales.",
    .suffix = "",
    .draft = &draft,
};

}  // namespace quantloupe::checkpoints
