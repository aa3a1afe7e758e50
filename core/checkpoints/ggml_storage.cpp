// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/checkpoints/ggml_storage.h"

#include "core/checkpoints/float_bytes.h"
#include "core/export_targets/ggml_types.h"
#include "core/kernels/ggml_layouts.h"
#include "core/schemes/format_traits.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace quantloupe {
namespace {

using kernels::ggml::kGroup;

constexpr std::array kOwnFormats {
    std::pair {Format::Q4_0, DType::Q4_0},
    std::pair {Format::Q4_1, DType::Q4_1},
    std::pair {Format::Q5_0, DType::Q5_0},
    std::pair {Format::Q5_1, DType::Q5_1},
    std::pair {Format::Q8_0, DType::Q8_0},
    std::pair {Format::Q2_K, DType::Q2_K},
    std::pair {Format::Q3_K, DType::Q3_K},
    std::pair {Format::Q4_K, DType::Q4_K},
    std::pair {Format::Q5_K, DType::Q5_K},
    std::pair {Format::Q6_K, DType::Q6_K},
    std::pair {Format::Iq4Nl, DType::IQ4_NL},
    std::pair {Format::Iq4Xs, DType::IQ4_XS},
    std::pair {Format::Fp32, DType::F32},
    std::pair {Format::Fp16, DType::F16},
    std::pair {Format::Bf16, DType::BF16},
};

std::optional<Format> formatOf(DType type)
{
    for (const auto& [format, stored] : kOwnFormats)
        if (stored == type)
            return format;
    return std::nullopt;
}

bool isOwnFormat(Format format)
{
    return std::any_of(kOwnFormats.begin(), kOwnFormats.end(), [&](const auto& row) { return row.first == format; });
}

/// Every block of 32 has one grid.
bool blocksShareGrids(const Scheme& scheme)
{
    const auto& granularity = scheme.granularity;
    switch (granularity.kind) {
    case Granularity::Kind::Tensor:
    case Granularity::Kind::Channel: return true;
    case Granularity::Kind::Group:
    case Granularity::Kind::Block: return granularity.columns % kGroup == 0;
    default: return false;
    }
}

/// The type whose blocks can hold the codes of an integer scheme as they are.
std::optional<DType> carrierOf(const Scheme& scheme)
{
    if (scheme.format == Format::Mxfp4)
        return DType::MXFP4;
    const bool symmetric = scheme.symmetry == Symmetry::Symmetric || scheme.symmetry == Symmetry::SymmetricFull;
    const bool minimum = scheme.symmetry == Symmetry::AsymmetricFloat;
    if (scheme.scales != ScaleStorage::Float16 || !blocksShareGrids(scheme) || (!symmetric && !minimum))
        return std::nullopt;
    switch (scheme.format) {
    case Format::Int4: return symmetric ? DType::Q4_0 : DType::Q4_1;
    case Format::Int5: return symmetric ? DType::Q5_0 : DType::Q5_1;
    case Format::Int7:
    case Format::Int8: return symmetric ? std::optional(DType::Q8_0) : std::nullopt;
    default: return std::nullopt;
    }
}

std::string carrierReason(const Scheme& scheme, DType type, std::uint64_t columns)
{
    const auto own = scheme.bitsPerWeight({1, columns}), stored = bitsPerElement(type);
    if (stored - own < 0.01)
        return {};
    return "the codes are the same, but every block of 32 has its scale and " + std::to_string(stored).substr(0, 4)
        + " bits per weight";
}

/// Blocks of legacy types and of mxfp4 with codes that were chosen elsewhere.
void putBlock(DType type, std::span<const std::uint32_t> codes, const UnitGrid& grid, std::vector<std::byte>& out)
{
    std::array<std::uint8_t, kGroup> small {};
    std::transform(
        codes.begin(), codes.end(), small.begin(), [](auto code) { return static_cast<std::uint8_t>(code); });
    if (type == DType::MXFP4)
        out.push_back(static_cast<std::byte>(std::ilogb(grid.scale) + 127));
    else
        appendScale(out, DType::F16, grid.scale);
    if (type == DType::Q4_1 || type == DType::Q5_1)
        appendScale(out, DType::F16, grid.zero);
    if (type == DType::Q8_0) {
        const auto zero = static_cast<unsigned>(grid.zero);
        for (const auto code : small)
            out.push_back(static_cast<std::byte>((code - zero) & 0xffU));
        return;
    }
    auto at = out.size();
    if (type == DType::Q5_0 || type == DType::Q5_1) {
        out.resize(at + 4);
        kernels::ggml::storeFifthBits(out.data() + at, small.data());
        at += 4;
    }
    out.resize(at + kGroup / 2);
    kernels::ggml::storeNibbles(out.data() + at, small.data());
}

std::vector<std::byte> blocksOf(
    DType type, std::size_t unitLength, bool shared, std::size_t rowsPerUnit, const QuantizedRows& rows)
{
    const auto unitsPerRow = shared ? 0 : (rows.columns + unitLength - 1) / unitLength;
    std::vector<std::byte> bytes;
    for (std::size_t row = 0; row < rows.rowCount; ++row)
        for (std::size_t column = 0; column < rows.columns; column += kGroup) {
            const auto unit = shared ? 0 : row / rowsPerUnit * unitsPerRow + column / unitLength;
            putBlock(type, rows.rowCodes(row).subspan(column, kGroup), rows.grids[unit], bytes);
        }
    return bytes;
}

/// Rows of bytes to their places, those that lie side by side at once.
void writeRows(std::size_t stored, std::uint64_t firstRow, std::span<const std::uint64_t> places,
    const QuantizedRows& rows, std::span<const std::byte> bytes, RegionWriter& out)
{
    const auto rowBytes = bytes.size() / std::max<std::size_t>(1, rows.rowCount);
    if (places.empty())
        return out.write(stored, (firstRow + rows.firstRow) * rowBytes, bytes);
    for (std::size_t row = 0; row < rows.rowCount; ++row)
        out.write(stored, (firstRow + places[static_cast<std::size_t>(rows.firstRow) + row]) * rowBytes,
            bytes.subspan(row * rowBytes, rowBytes));
}

}  // namespace

Result<GgmlStorage> ggmlStorageFor(const std::string& tensor, const Scheme& scheme, std::uint64_t columns)
{
    if (auto codes = requireCodes(tensor, scheme); !codes)
        return tl::unexpected(codes.error());
    if (const auto carrier = carrierOf(scheme); carrier && columns % kGroup == 0)
        return GgmlStorage {*carrier, scheme, carrierReason(scheme, *carrier, columns)};
    const auto choice = ggmlTypeFor(scheme);
    if (!choice)
        return failure(ErrorCode::Unsupported, tensor,
            "ggml has no type for " + scheme.toString() + ", choose another scheme for this tensor");
    const auto type = ggmlTypeForRow(choice->type, columns);
    const bool own = type == choice->type && isOwnFormat(scheme.format);
    if (!own && !scheme.algorithms.empty())
        return failure(ErrorCode::Unsupported, tensor,
            "the codes of " + scheme.toString() + " fit no type of ggml: rounded anew as " + ggmlTypeName(type)
                + " nothing would be left of its algorithms; sym, symf and asymf in groups of 32 with s16 scales fit");
    const auto format = formatOf(type);
    if (!format)
        return failure(ErrorCode::Unsupported, tensor,
            "rows of type " + ggmlTypeName(type) + ", which " + scheme.toString() + " would become, cannot be written");
    GgmlStorage storage {type, Scheme::of(*format), std::string(choice->difference)};
    if (own)
        storage.scheme = scheme;  // with what it says of importance
    if (type != choice->type)
        storage.reason =
            "rows of " + std::to_string(columns) + " weights do not fill blocks of " + ggmlTypeName(choice->type);
    return storage;
}

RowPacker ggmlPacker(
    std::size_t stored, const GgmlStorage& storage, std::uint64_t firstRow, std::vector<std::uint64_t> places)
{
    const auto type = storage.type;
    if (!isBlockType(type))
        return [stored, type, firstRow, places = std::move(places)](const QuantizedRows& rows, RegionWriter& out) {
            std::vector<std::byte> bytes;
            appendFloats(bytes, type, rows.values);
            writeRows(stored, firstRow, places, rows, bytes, out);
        };
    if (isOwnFormat(storage.scheme.format))
        return [stored, firstRow, places = std::move(places)](const QuantizedRows& rows, RegionWriter& out) {
            writeRows(stored, firstRow, places, rows, rows.packed, out);
        };
    const auto& granularity = storage.scheme.granularity;
    const bool shared = granularity.kind == Granularity::Kind::Tensor;
    const std::size_t rowsPerUnit = granularity.kind == Granularity::Kind::Block ? granularity.rows : 1;
    const std::size_t length = granularity.kind == Granularity::Kind::Own ? kGroup : granularity.columns;
    return [stored, type, firstRow, shared, rowsPerUnit, length, places = std::move(places)](
               const QuantizedRows& rows, RegionWriter& out) {
        const auto unitLength = length == 0 ? rows.columns : std::min(length, rows.columns);
        writeRows(stored, firstRow, places, rows, blocksOf(type, unitLength, shared, rowsPerUnit, rows), out);
    };
}

std::uint32_t ggmlFileTypeNumber(DType type)
{
    switch (type) {
    case DType::F16: return 1;
    case DType::Q4_0: return 2;
    case DType::Q4_1: return 3;
    case DType::Q8_0: return 7;
    case DType::Q5_0: return 8;
    case DType::Q5_1: return 9;
    case DType::Q2_K: return 10;
    case DType::Q3_K: return 11;
    case DType::Q4_K: return 14;
    case DType::Q5_K: return 16;
    case DType::Q6_K: return 18;
    case DType::IQ4_NL: return 25;
    case DType::IQ4_XS: return 30;
    case DType::BF16: return 32;
    case DType::MXFP4: return 38;
    default: return 0;
    }
}

}  // namespace quantloupe
