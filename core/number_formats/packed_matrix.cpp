// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/number_formats/packed_matrix.h"

#include "core/kernels/float_bits.h"
#include "core/kernels/float_rounding.h"
#include "core/number_formats/bit_packing.h"
#include "core/number_formats/double_quantization.h"
#include "core/number_formats/number_format.h"
#include "core/number_formats/stored_scale.h"
#include "core/schemes/format_traits.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace quantloupe {
namespace {

using kernels::FloatKind;

constexpr std::uint32_t ternaryBase = 3;
constexpr std::size_t ternaryPerByte = 5;

class Writer
{
public:
    template<class T>
    void put(T value)
    {
        const std::size_t at = bytes.size();
        bytes.resize(at + sizeof value);
        std::memcpy(bytes.data() + at, &value, sizeof value);
    }
    void putCodes(std::span<const std::uint32_t> codes, unsigned bits)
    {
        const std::size_t at = bytes.size();
        bytes.resize(at + (codes.size() * bits + 7) / 8);
        packBits(codes, bits, std::span(bytes).subspan(at));
    }

    std::vector<std::byte> bytes {};
};

class Reader
{
public:
    explicit Reader(std::span<const std::byte> bytes)
        : m_rest(bytes)
    {
    }
    template<class T>
    T take()
    {
        T value {};
        std::memcpy(&value, m_rest.data(), sizeof value);
        m_rest = m_rest.subspan(sizeof value);
        return value;
    }
    void takeCodes(std::span<std::uint32_t> codes, unsigned bits)
    {
        const std::size_t size = (codes.size() * bits + 7) / 8;
        unpackBits(m_rest.first(size), bits, codes);
        m_rest = m_rest.subspan(size);
    }

private:
    std::span<const std::byte> m_rest;
};

std::uint32_t codeOfFloat(FloatKind kind, float value)
{
    const UnitGrid one {1.0F, 1.0F};
    std::uint32_t code = 0;
    kernels::floatEncodeReference(kind, {&value, 1}, {1, 1, true}, {&one, 1}, {&code, 1});
    return code;
}

// The nearest FP16 number; never infinite, and not 0 for what is not.
float nearestHalf(float value)
{
    constexpr float largest = 65504.0F, smallest = 0x1p-24F;
    const float rounded =
        halfToFloat(static_cast<std::uint16_t>(codeOfFloat(FloatKind::Half, std::clamp(value, -largest, largest))));
    return rounded == 0.0F && value != 0.0F ? std::copysign(smallest, value) : rounded;
}

std::uint8_t exponentByte(float powerOfTwo)
{
    return static_cast<std::uint8_t>(std::ilogb(powerOfTwo) + 127);
}

void putStored(Writer& writer, ScaleStorage storage, float value)
{
    switch (storage) {
    case ScaleStorage::Float32: writer.put(value); return;
    case ScaleStorage::Float16: writer.put(static_cast<std::uint16_t>(codeOfFloat(FloatKind::Half, value))); return;
    case ScaleStorage::BFloat16:
        writer.put(static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16U));
        return;
    case ScaleStorage::E8M0: writer.put(exponentByte(value)); return;
    case ScaleStorage::Double8: return;
    }
}

float takeStored(Reader& reader, ScaleStorage storage)
{
    switch (storage) {
    case ScaleStorage::Float32: return reader.take<float>();
    case ScaleStorage::Float16: return halfToFloat(reader.take<std::uint16_t>());
    case ScaleStorage::BFloat16: return bfloat16ToFloat(reader.take<std::uint16_t>());
    case ScaleStorage::E8M0: return float8E8M0ToFloat(reader.take<std::uint8_t>());
    case ScaleStorage::Double8: break;
    }
    return 1.0F;
}

bool isBlockFormat(const Scheme& scheme)
{
    return traitsOf(scheme.format).family == FormatFamily::Block;
}
bool isTernary(const Scheme& scheme)
{
    return traitsOf(scheme.format).family == FormatFamily::Ternary;
}
unsigned bitsOf(const Scheme& scheme)
{
    return static_cast<unsigned>(codeBits(scheme.format));
}

// mxint8's grid is a sixty-fourth of the shared scale.
float blockScale(const Scheme& scheme, const UnitGrid& grid)
{
    return scheme.format == Format::Mxint8 ? grid.scale * 64.0F : grid.scale;
}

void putBlocks(Writer& writer, const Scheme& scheme, std::span<const std::uint32_t> codes, std::size_t columns,
    std::span<const UnitGrid> grids)
{
    const std::size_t length = traitsOf(scheme.format).blockElements;
    const bool twoLevels = scheme.format == Format::Nvfp4;
    if (twoLevels)
        writer.put(grids.empty() ? 1.0F : grids.front().zero);
    std::vector<std::uint32_t> block(length);
    std::size_t unit = 0;
    for (std::size_t row = 0; row < codes.size(); row += columns)
        for (std::size_t begin = 0; begin < columns; begin += length, ++unit) {
            const auto own = codes.subspan(row + begin, std::min(length, columns - begin));
            std::fill(std::copy(own.begin(), own.end(), block.begin()), block.end(), 0U);
            const UnitGrid& grid = grids[unit];
            writer.put(twoLevels ? static_cast<std::uint8_t>(codeOfFloat(FloatKind::E4M3, grid.scale / grid.zero))
                                 : exponentByte(blockScale(scheme, grid)));
            writer.putCodes(block, bitsOf(scheme));
        }
}

void takeBlocks(Reader& reader, const Scheme& scheme, std::span<std::uint32_t> codes, std::size_t columns,
    std::span<UnitGrid> grids)
{
    const std::size_t length = traitsOf(scheme.format).blockElements;
    const bool twoLevels = scheme.format == Format::Nvfp4;
    const float tensorScale = twoLevels ? reader.take<float>() : 1.0F;
    std::vector<std::uint32_t> block(length);
    std::size_t unit = 0;
    for (std::size_t row = 0; row < codes.size(); row += columns)
        for (std::size_t begin = 0; begin < columns; begin += length, ++unit) {
            const auto byte = reader.take<std::uint8_t>();
            if (twoLevels)
                grids[unit] = {float8E4M3ToFloat(byte) * tensorScale, tensorScale};
            else if (scheme.format == Format::Mxint8)
                grids[unit] = {float8E8M0ToFloat(byte) / 64.0F, 128.0F};
            else
                grids[unit] = {float8E8M0ToFloat(byte), 0.0F};
            reader.takeCodes(block, bitsOf(scheme));
            std::copy_n(block.begin(), std::min(length, columns - begin),
                codes.begin() + static_cast<std::ptrdiff_t>(row + begin));
        }
}

void putRow(Writer& writer, const Scheme& scheme, std::span<const std::uint32_t> row)
{
    if (!isTernary(scheme))
        return writer.putCodes(row, bitsOf(scheme));
    for (std::size_t begin = 0; begin < row.size(); begin += ternaryPerByte) {
        std::uint32_t byte = 0;
        for (std::size_t i = std::min(begin + ternaryPerByte, row.size()); i-- > begin;)
            byte = byte * ternaryBase + row[i];
        writer.put(static_cast<std::uint8_t>(byte));
    }
}

void takeRow(Reader& reader, const Scheme& scheme, std::span<std::uint32_t> row)
{
    if (!isTernary(scheme))
        return reader.takeCodes(row, bitsOf(scheme));
    for (std::size_t begin = 0; begin < row.size(); begin += ternaryPerByte) {
        std::uint32_t byte = reader.take<std::uint8_t>();
        for (std::size_t i = begin; i < std::min(begin + ternaryPerByte, row.size()); ++i, byte /= ternaryBase)
            row[i] = byte % ternaryBase;
    }
}

void putScales(Writer& writer, const Scheme& scheme, std::span<const UnitGrid> fitted, std::span<const UnitGrid> stored)
{
    if (scheme.scales == ScaleStorage::Double8) {
        const DoubleQuantizedScales scales = doubleQuantize(fitted);
        for (const std::uint8_t code : scales.codes)
            writer.put(code);
        for (const float blockScale : scales.blockScales)
            writer.put(blockScale);
        writer.put(scales.offset);
    }
    for (const UnitGrid& grid : stored)
        putStored(writer, scheme.scales, grid.scale);
    if (scheme.symmetry == Symmetry::Asymmetric) {
        std::vector<std::uint32_t> zeros;
        for (const UnitGrid& grid : stored)
            zeros.push_back(static_cast<std::uint32_t>(grid.zero));
        writer.putCodes(zeros, bitsOf(scheme));
    } else if (scheme.symmetry == Symmetry::AsymmetricFloat) {
        for (const UnitGrid& grid : stored)
            putStored(writer, scheme.scales, grid.zero);
    }
}

void takeScales(Reader& reader, const Scheme& scheme, std::span<UnitGrid> grids)
{
    constexpr std::size_t block = 256;
    // Zero points that are not stored: the middle of the codes, or 1 of ternary.
    const float middle = isTernary(scheme) ? 1.0F : static_cast<float>(1U << (bitsOf(scheme) - 1));
    DoubleQuantizedScales scales;
    if (scheme.scales == ScaleStorage::Double8) {
        for (std::size_t unit = 0; unit < grids.size(); ++unit)
            scales.codes.push_back(reader.take<std::uint8_t>());
        for (std::size_t unit = 0; unit < grids.size(); unit += block)
            scales.blockScales.push_back(reader.take<float>());
        scales.offset = reader.take<float>();
    }
    for (std::size_t unit = 0; unit < grids.size(); ++unit)
        grids[unit] = {
            scheme.scales == ScaleStorage::Double8 ? scales.scaleAt(unit) : takeStored(reader, scheme.scales), middle};
    if (scheme.symmetry == Symmetry::Asymmetric) {
        std::vector<std::uint32_t> zeros(grids.size());
        reader.takeCodes(zeros, bitsOf(scheme));
        for (std::size_t unit = 0; unit < grids.size(); ++unit)
            grids[unit].zero = static_cast<float>(zeros[unit]);
    } else if (scheme.symmetry == Symmetry::AsymmetricFloat) {
        for (UnitGrid& grid : grids)
            grid.zero = takeStored(reader, scheme.scales);
    }
}

}  // namespace

std::vector<UnitGrid> storedGrids(const Scheme& scheme, std::span<const UnitGrid> grids)
{
    std::vector<UnitGrid> stored(grids.begin(), grids.end());
    if (!takesScale(traitsOf(scheme.format).family))
        return stored;
    if (scheme.scales == ScaleStorage::Double8)
        quantizeScales(scheme, stored);
    if (scheme.scales != ScaleStorage::Float16)
        return stored;
    const bool refactored = traitsOf(scheme.format).family == FormatFamily::SmallFloat;
    for (UnitGrid& grid : stored) {
        const float exact = grid.scale;
        grid.scale = nearestHalf(exact);
        if (refactored && grid.scale != exact)
            grid.zero = 1.0F / grid.scale;
        if (scheme.symmetry == Symmetry::AsymmetricFloat)
            grid.zero = nearestHalf(grid.zero);
    }
    return stored;
}

std::vector<std::byte> packMatrix(
    const Quantizer& quantizer, std::span<const float> rows, std::size_t rowCount, std::span<const UnitGrid> grids)
{
    const Scheme& scheme = quantizer.scheme();
    const std::size_t columns = quantizer.columns();
    Writer writer;
    if (rowCount == 0 || columns == 0)
        return {};
    if (!quantizer.hasGrids()) {
        writer.bytes.resize(rowCount * quantizer.packedRowBytes());
        quantizer.pack(rows, rowCount, writer.bytes);
        return std::move(writer.bytes);
    }
    const std::vector<UnitGrid> stored = storedGrids(scheme, grids);
    std::vector<std::uint32_t> codes(rowCount * columns);
    quantizer.encode(rows, rowCount, stored, codes);
    if (isBlockFormat(scheme)) {
        putBlocks(writer, scheme, codes, columns, stored);
        return std::move(writer.bytes);
    }
    for (std::size_t row = 0; row < rowCount; ++row)
        putRow(writer, scheme, std::span(codes).subspan(row * columns, columns));
    if (quantizer.hasScale())
        putScales(writer, scheme, grids, stored);
    return std::move(writer.bytes);
}

std::vector<float> unpackMatrix(const Quantizer& quantizer, std::span<const std::byte> bytes, std::size_t rowCount)
{
    const Scheme& scheme = quantizer.scheme();
    const std::size_t columns = quantizer.columns();
    std::vector<float> values(rowCount * columns);
    if (values.empty())
        return values;
    if (!quantizer.hasGrids()) {
        quantizer.unpack(bytes, rowCount, values);
        return values;
    }
    Reader reader(bytes);
    std::vector<UnitGrid> grids(quantizer.gridCount(rowCount));
    std::vector<std::uint32_t> codes(values.size());
    if (isBlockFormat(scheme)) {
        takeBlocks(reader, scheme, codes, columns, grids);
    } else {
        for (std::size_t row = 0; row < rowCount; ++row)
            takeRow(reader, scheme, std::span(codes).subspan(row * columns, columns));
        if (quantizer.hasScale())
            takeScales(reader, scheme, grids);
    }
    quantizer.decode(codes, rowCount, grids, values);
    return values;
}

}  // namespace quantloupe
