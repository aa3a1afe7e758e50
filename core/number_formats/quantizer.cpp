// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/number_formats/quantizer.h"

#include "core/number_formats/number_format.h"
#include "core/number_formats/unit_fitting.h"
#include "core/schemes/format_traits.h"

#include <algorithm>
#include <cassert>
#include <numeric>

namespace quantloupe {
namespace {

std::string notBuilt(std::string what)
{
    return what.append(" is not built yet");
}

std::span<const float> importanceOf(const std::shared_ptr<const std::vector<float>>& importance)
{
    return importance ? std::span<const float>(*importance) : std::span<const float> {};
}

// The first part of the scheme that cannot be done; empty if all can.
std::string missingPart(const Scheme& scheme, const NumberFormat* format)
{
    if (format == nullptr)
        return notBuilt(std::string(nameOf(scheme.format)));
    using Kind = Granularity::Kind;
    if (scheme.granularity.kind == Kind::Token)
        return "granularity token belongs to activations: weights have no tokens";
    const bool scaled = takesGranularity(traitsOf(scheme.format).family);
    const bool sized = scheme.granularity.kind == Kind::Group || scheme.granularity.kind == Kind::Block;
    if (scaled != (scheme.granularity.kind != Kind::Own) || (sized && scheme.granularity.columns == 0)
        || (scheme.granularity.kind == Kind::Block && scheme.granularity.rows == 0))
        return std::string(nameOf(scheme.format)).append(" has no such granularity");
    if (scheme.range.kind == RangeEstimator::Kind::Entropy) {
        if (!isInteger(scheme.format))
            return "entropy ranges look at integer codes: " + std::string(nameOf(scheme.format))
                + " takes minmax, pN or mse";
        if (sized)
            return "entropy ranges need a histogram of a channel or a tensor: a group has too few weights for one";
        if (codeBits(scheme.format) > 8)
            return "entropy ranges are for codes of at most eight bits";
    }
    return format->refusal(scheme);
}

}  // namespace

Result<Quantizer> Quantizer::create(const Scheme& scheme, std::size_t columns)
{
    Quantizer quantizer;
    quantizer.m_scheme = scheme;
    quantizer.m_columns = columns;
    quantizer.m_format = numberFormatOf(scheme.format);
    if (std::string missing = missingPart(scheme, quantizer.m_format); !missing.empty())
        return failure(ErrorCode::Unsupported, "scheme '" + scheme.toString() + "'", std::move(missing));
    return quantizer;
}

void Quantizer::setImportance(std::vector<float> importance)
{
    assert(importance.size() == m_columns);
    m_importance = std::make_shared<const std::vector<float>>(std::move(importance));
}

bool Quantizer::usesImportance() const
{
    if (!hasGrids())
        return m_scheme.format != Format::Q8_0;
    return hasScale() && !wholeTensor() && m_scheme.range.kind != RangeEstimator::Kind::MinMax;
}

Quantizer Quantizer::ofColumns(std::size_t first, std::size_t count) const
{
    Quantizer part = *this;
    part.m_columns = count;
    if (m_importance) {
        const auto own = std::span(*m_importance).subspan(first, count);
        part.setImportance({own.begin(), own.end()});
    }
    return part;
}

bool Quantizer::wholeTensor() const
{
    return m_scheme.granularity.kind == Granularity::Kind::Tensor;
}

bool Quantizer::hasScale() const
{
    return !hasGrids() || m_format->grid->basis(m_scheme) != GridBasis::None;
}

bool Quantizer::hasGrids() const
{
    return m_format->grid != nullptr;
}

std::size_t Quantizer::unitLength() const
{
    if (!hasGrids())
        return m_format->row->unitLength(m_scheme, m_columns);
    std::size_t length = m_columns;
    switch (m_scheme.granularity.kind) {
    case Granularity::Kind::Group:
    case Granularity::Kind::Block: length = std::min<std::size_t>(m_scheme.granularity.columns, m_columns); break;
    case Granularity::Kind::Own:
        if (const auto block = traitsOf(m_scheme.format).blockElements; block != 0)
            length = std::min<std::size_t>(block, m_columns);
        break;
    default: break;
    }
    return std::max<std::size_t>(length, 1);
}

std::size_t Quantizer::rowsPerUnit() const
{
    return m_scheme.granularity.kind == Granularity::Kind::Block ? m_scheme.granularity.rows : 1;
}

std::size_t Quantizer::unitsPerRow() const
{
    return wholeTensor() ? 1 : shape().unitsPerRow();
}

std::size_t Quantizer::gridCount(std::size_t rowCount) const
{
    if (!hasGrids())
        return 0;
    const std::size_t bands = (rowCount + rowsPerUnit() - 1) / rowsPerUnit();
    return wholeTensor() ? 1 : bands * shape().unitsPerRow();
}

template<class Each>
void Quantizer::forEachRun(
    std::size_t rowCount, std::size_t rowInBand, std::span<const UnitGrid> grids, const Each& each) const
{
    const std::size_t perUnit = rowsPerUnit();
    if (perUnit == 1)
        return each(std::size_t {0}, rowCount * m_columns, grids);
    const std::size_t units = shape().unitsPerRow();
    for (std::size_t row = 0; row < rowCount; ++row)
        each(row * m_columns, m_columns, grids.subspan((rowInBand + row) / perUnit * units, units));
}

void Quantizer::fit(std::span<const float> rows, std::size_t rowCount, std::span<UnitGrid> grids) const
{
    if (hasGrids())
        fitUnits(*m_format->grid, {m_scheme, shape(), rowsPerUnit(), m_tensorAbsMax, importanceOf(m_importance)},
            rows.first(rowCount * m_columns), grids);
}

std::uint64_t Quantizer::fakeQuantize(std::span<const float> rows, std::size_t rowCount,
    std::span<const UnitGrid> grids, std::span<float> out, std::size_t rowInBand) const
{
    if (!hasGrids()) {
        std::vector<std::byte> bytes(rowCount * packedRowBytes());
        pack(rows, rowCount, bytes);
        unpack(bytes, rowCount, out);
        return 0;
    }
    std::uint64_t clamped = 0;
    forEachRun(rowCount, rowInBand, grids, [&](std::size_t first, std::size_t count, std::span<const UnitGrid> own) {
        clamped +=
            m_format->grid->fakeQuantize(m_scheme, shape(), rows.subspan(first, count), own, out.subspan(first, count));
    });
    return clamped;
}

void Quantizer::encode(std::span<const float> rows, std::size_t rowCount, std::span<const UnitGrid> grids,
    std::span<std::uint32_t> codes, std::size_t rowInBand) const
{
    if (!hasGrids()) {
        std::vector<std::byte> bytes(rowCount * packedRowBytes());
        pack(rows, rowCount, bytes);
        return readCodes(bytes, rowCount, codes);
    }
    forEachRun(rowCount, rowInBand, grids, [&](std::size_t first, std::size_t count, std::span<const UnitGrid> own) {
        m_format->grid->encode(m_scheme, shape(), rows.subspan(first, count), own, codes.subspan(first, count));
    });
}

void Quantizer::decode(std::span<const std::uint32_t> codes, std::size_t rowCount, std::span<const UnitGrid> grids,
    std::span<float> out, std::size_t rowInBand) const
{
    forEachRun(rowCount, rowInBand, grids, [&](std::size_t first, std::size_t count, std::span<const UnitGrid> own) {
        m_format->grid->decode(m_scheme, shape(), codes.subspan(first, count), own, out.subspan(first, count));
    });
}

std::size_t Quantizer::packedRowBytes() const
{
    return m_format->row->rowBytes(m_scheme, m_columns);
}

void Quantizer::pack(std::span<const float> rows, std::size_t rowCount, std::span<std::byte> bytes) const
{
    m_format->row->pack(m_scheme, m_columns, rows.first(rowCount * m_columns), importanceOf(m_importance), bytes);
}

void Quantizer::unpack(std::span<const std::byte> bytes, std::size_t rowCount, std::span<float> out) const
{
    m_format->row->unpack(m_scheme, m_columns, bytes, out.first(rowCount * m_columns));
}

void Quantizer::readCodes(std::span<const std::byte> bytes, std::size_t rowCount, std::span<std::uint32_t> codes) const
{
    m_format->row->codes(m_scheme, m_columns, bytes, codes.first(rowCount * m_columns));
}

std::size_t Quantizer::codeCount() const
{
    return m_format->codeCount(m_scheme);
}

std::vector<float> Quantizer::levels(const UnitGrid& grid) const
{
    const std::size_t count = codeCount();
    if (count == 0 || count > 256 || !hasGrids())
        return {};
    std::vector<std::uint32_t> codes(count);
    std::iota(codes.begin(), codes.end(), 0U);
    std::vector<float> values(count);
    m_format->grid->decode(m_scheme, {count, count, true}, codes, {&grid, 1}, values);
    return values;
}

std::vector<float> Quantizer::levelsAt(std::span<const float> row, std::size_t column) const
{
    std::vector<std::byte> bytes(packedRowBytes());
    pack(row, 1, bytes);
    return m_format->row->levels(m_scheme, m_columns, bytes, column);
}

double Quantizer::worstCaseError(double absMax) const
{
    return m_format->worstCaseError(m_scheme, absMax);
}

}  // namespace quantloupe
