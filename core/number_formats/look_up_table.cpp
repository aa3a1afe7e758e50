// SPDX-License-Identifier: GPL-3.0-or-later
// lut2, lut3, lut4: each unit has a table of 4, 8 or 16 levels of its own, found by k-means (SqueezeLLM, arXiv
// 2306.07629, without its sparse part); importance weighs the weights. Codes are indices; a weight goes to the nearest
// level, the lower one at ties. Table entries are rounded to the scale storage before weights choose among them.
// Bytes of a row: the tables of its units, then the codes.
#include "core/kernels/code_book.h"
#include "core/kernels/float_rounding.h"
#include "core/number_formats/bit_packing.h"
#include "core/number_formats/level_fitting.h"
#include "core/number_formats/number_format.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

namespace quantloupe::number_formats {
namespace {

constexpr std::array formats {Format::Lut2, Format::Lut3, Format::Lut4};
constexpr std::size_t mostLevels = 16;

unsigned bitsOf(const Scheme& scheme)
{
    return static_cast<unsigned>(codeBits(scheme.format));
}
std::size_t levelCount(const Scheme& scheme)
{
    return std::size_t {1} << bitsOf(scheme);
}
std::size_t entryBytes(const Scheme& scheme)
{
    return scheme.scales == ScaleStorage::Float32 ? 4 : 2;
}
std::size_t unitLength(const Scheme& scheme, std::size_t columns)
{
    const bool grouped = scheme.granularity.kind == Granularity::Kind::Group;
    return std::max<std::size_t>(1, grouped ? std::min<std::size_t>(scheme.granularity.columns, columns) : columns);
}
std::size_t unitsPerRow(const Scheme& scheme, std::size_t columns)
{
    return (columns + unitLength(scheme, columns) - 1) / unitLength(scheme, columns);
}
std::size_t tableBytes(const Scheme& scheme)
{
    return levelCount(scheme) * entryBytes(scheme);
}

std::string refusal(const Scheme& scheme)
{
    using Kind = Granularity::Kind;
    if (scheme.granularity.kind == Kind::Tensor || scheme.granularity.kind == Kind::Block)
        return "a look-up table serves one output channel or a group of its weights: use channel or gN";
    if (scheme.scales == ScaleStorage::E8M0 || scheme.scales == ScaleStorage::Double8)
        return "levels of a table lie anywhere and are stored as s32, s16 or sbf16";
    return {};
}

// A table's bytes: FP32, or the upper halves of FP32 (sbf16), or FP16.
kernels::FloatKind halfKindOf(const Scheme& scheme)
{
    return scheme.scales == ScaleStorage::BFloat16 ? kernels::FloatKind::BrainHalf : kernels::FloatKind::Half;
}

void writeTable(const Scheme& scheme, std::span<const float> levels, std::span<std::byte> bytes)
{
    if (scheme.scales == ScaleStorage::Float32) {
        std::memcpy(bytes.data(), levels.data(), levels.size() * sizeof(float));
        return;
    }
    std::array<std::uint32_t, mostLevels> codes {};
    const auto used = std::span(codes).first(levels.size());
    kernels::floatEncode(halfKindOf(scheme), levels, {levels.size(), levels.size(), true}, {}, used);
    for (std::size_t i = 0; i < used.size(); ++i) {
        const auto half = static_cast<std::uint16_t>(used[i]);
        std::memcpy(bytes.data() + i * sizeof half, &half, sizeof half);
    }
}

void readTable(const Scheme& scheme, std::span<const std::byte> bytes, std::span<float> levels)
{
    if (scheme.scales == ScaleStorage::Float32) {
        std::memcpy(levels.data(), bytes.data(), levels.size() * sizeof(float));
        return;
    }
    for (std::size_t i = 0; i < levels.size(); ++i) {
        std::uint16_t half = 0;
        std::memcpy(&half, bytes.data() + i * sizeof half, sizeof half);
        levels[i] = kernels::floatOfCode(halfKindOf(scheme), half);
    }
}

// The levels of one unit as they will be stored.
void fitTable(
    const Scheme& scheme, std::span<const float> unit, std::span<const float> importance, std::span<float> levels)
{
    std::vector<float> values, weights;
    values.reserve(unit.size());
    for (std::size_t i = 0; i < unit.size(); ++i)
        if (std::isfinite(unit[i])) {
            values.push_back(unit[i]);
            if (!importance.empty())
                weights.push_back(importance[i]);
        }
    const std::vector<double> fitted = fitLevels(values, weights, levels.size());
    const float largest = scheme.scales == ScaleStorage::Float16 ? 65504.0F
        : scheme.scales == ScaleStorage::BFloat16                ? 0x1.FEp127F
                                                                 : std::numeric_limits<float>::max();
    std::transform(fitted.begin(), fitted.end(), levels.begin(),
        [largest](double x) { return std::clamp(static_cast<float>(x), -largest, largest); });
}

std::size_t rowBytes(const Scheme& scheme, std::size_t columns)
{
    return unitsPerRow(scheme, columns) * tableBytes(scheme) + (columns * bitsOf(scheme) + 7) / 8;
}

void pack(const Scheme& scheme, std::size_t columns, std::span<const float> rows, std::span<const float> importance,
    std::span<std::byte> bytes)
{
    const std::size_t bytesPerRow = rowBytes(scheme, columns), length = unitLength(scheme, columns);
    std::vector<std::uint32_t> codes(columns);
    std::array<float, mostLevels> levelStore {}, midpointStore {};
    const auto levels = std::span(levelStore).first(levelCount(scheme));
    const auto midpoints = std::span(midpointStore).first(levels.size() - 1);
    for (std::size_t row = 0; row * columns < rows.size(); ++row) {
        auto out = bytes.subspan(row * bytesPerRow, bytesPerRow);
        for (std::size_t begin = 0; begin < columns; begin += length) {
            const std::size_t count = std::min(length, columns - begin);
            const auto unit = rows.subspan(row * columns + begin, count);
            fitTable(scheme, unit, importance.empty() ? importance : importance.subspan(begin, count), levels);
            writeTable(scheme, levels, out.first(tableBytes(scheme)));
            readTable(scheme, out.first(tableBytes(scheme)), levels);
            for (std::size_t i = 0; i < midpoints.size(); ++i)
                midpoints[i] = 0.5F * levels[i] + 0.5F * levels[i + 1];
            kernels::countThresholds(midpoints, unit, std::span(codes).subspan(begin, count));
            out = out.subspan(tableBytes(scheme));
        }
        packBits(codes, bitsOf(scheme), out);
    }
}

/// each(row, table of the unit, first column, weights of the unit, codes of the row)
template<class Each>
void forEachUnit(const Scheme& scheme, std::size_t columns, std::span<const std::byte> bytes, const Each& each)
{
    const std::size_t bytesPerRow = rowBytes(scheme, columns), length = unitLength(scheme, columns);
    const std::size_t tables = unitsPerRow(scheme, columns) * tableBytes(scheme);
    std::vector<std::uint32_t> codes(columns);
    for (std::size_t row = 0; columns != 0 && row < bytes.size() / bytesPerRow; ++row) {
        const auto in = bytes.subspan(row * bytesPerRow, bytesPerRow);
        unpackBits(in.subspan(tables), bitsOf(scheme), codes);
        for (std::size_t begin = 0, unit = 0; begin < columns; begin += length, ++unit)
            each(row, in.subspan(unit * tableBytes(scheme), tableBytes(scheme)), begin,
                std::min(length, columns - begin), std::span<const std::uint32_t>(codes));
    }
}

void unpack(const Scheme& scheme, std::size_t columns, std::span<const std::byte> bytes, std::span<float> rows)
{
    std::array<float, mostLevels> levels {};
    forEachUnit(scheme, columns, bytes,
        [&](std::size_t row, std::span<const std::byte> table, std::size_t begin, std::size_t count,
            std::span<const std::uint32_t> codes) {
            readTable(scheme, table, std::span(levels).first(levelCount(scheme)));
            for (std::size_t i = begin; i < begin + count; ++i)
                rows[row * columns + i] = levels[codes[i]];
        });
}

void codesOf(const Scheme& scheme, std::size_t columns, std::span<const std::byte> bytes, std::span<std::uint32_t> out)
{
    forEachUnit(scheme, columns, bytes,
        [&](std::size_t row, std::span<const std::byte>, std::size_t begin, std::size_t count,
            std::span<const std::uint32_t> codes) {
            std::copy_n(codes.begin() + static_cast<std::ptrdiff_t>(begin), count,
                out.begin() + static_cast<std::ptrdiff_t>(row * columns + begin));
        });
}

std::vector<float> levels(const Scheme& scheme, std::size_t columns, std::span<const std::byte> row, std::size_t column)
{
    std::vector<float> values(levelCount(scheme));
    readTable(
        scheme, row.subspan(column / unitLength(scheme, columns) * tableBytes(scheme), tableBytes(scheme)), values);
    return values;
}

std::size_t codeCount(const Scheme& scheme)
{
    return levelCount(scheme);
}

// A k-means level is the mean of weights of one sign of distance: at worst the whole range.
double worstCaseError(const Scheme&, double absMax)
{
    return 2.0 * absMax;
}

constexpr RowMethods methods {rowBytes, pack, unpack, codesOf, levels, unitLength};

}  // namespace

extern const NumberFormat look_up_table;
const NumberFormat look_up_table {formats, refusal, codeCount, worstCaseError, nullptr, &methods};

}  // namespace quantloupe::number_formats
