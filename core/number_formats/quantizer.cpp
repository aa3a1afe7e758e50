// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/number_formats/quantizer.h"

#include "core/number_formats/number_format.h"
#include "core/number_formats/unit_fitting.h"
#include "core/schemes/format_traits.h"

#include <algorithm>
#include <numeric>

namespace quantloupe {
namespace {

std::string notBuilt(std::string what)
{
    return what.append(" is not built yet");
}

// The first part of the scheme that cannot be done; empty if all can.
std::string missingPart(const Scheme& scheme, const NumberFormat* format)
{
    if (format == nullptr)
        return notBuilt(std::string(nameOf(scheme.format)));
    using Kind = Granularity::Kind;
    if (scheme.granularity.kind == Kind::Block)
        return notBuilt("granularity " + wordOf(scheme.granularity));
    if (scheme.granularity.kind == Kind::Token)
        return "granularity token belongs to activations: weights have no tokens";
    const bool scaled = takesGranularity(traitsOf(scheme.format).family);
    if (scaled != (scheme.granularity.kind != Kind::Own)
        || (scheme.granularity.kind == Kind::Group && scheme.granularity.columns == 0))
        return std::string(nameOf(scheme.format)).append(" has no such granularity");
    if (scheme.range.kind == RangeEstimator::Kind::Entropy)
        return notBuilt("range entropy");
    if (scheme.scales != ScaleStorage::Float32 && scheme.scales != ScaleStorage::Float16)
        return notBuilt("scale storage " + std::string(wordOf(scheme.scales)));
    if (!scheme.algorithms.empty())
        return notBuilt("algorithm " + std::string(nameOf(scheme.algorithms.front())));
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

bool Quantizer::wholeTensor() const
{
    return m_scheme.granularity.kind == Granularity::Kind::Tensor;
}

bool Quantizer::hasScale() const
{
    return m_format->basis(m_scheme) != GridBasis::None;
}

std::size_t Quantizer::unitLength() const
{
    const bool grouped = m_scheme.granularity.kind == Granularity::Kind::Group;
    const std::size_t length = grouped ? std::min<std::size_t>(m_scheme.granularity.columns, m_columns) : m_columns;
    return std::max<std::size_t>(length, 1);
}

std::size_t Quantizer::unitsPerRow() const
{
    return wholeTensor() ? 1 : shape().unitsPerRow();
}

std::size_t Quantizer::gridCount(std::size_t rowCount) const
{
    return wholeTensor() ? 1 : rowCount * shape().unitsPerRow();
}

void Quantizer::fit(std::span<const float> rows, std::size_t rowCount, std::span<UnitGrid> grids) const
{
    fitUnits(*m_format, m_scheme, shape(), rows.first(rowCount * m_columns), grids);
}

std::uint64_t Quantizer::fakeQuantize(
    std::span<const float> rows, std::size_t rowCount, std::span<const UnitGrid> grids, std::span<float> out) const
{
    return m_format->fakeQuantize(m_scheme, shape(), rows.first(rowCount * m_columns), grids, out);
}

void Quantizer::encode(std::span<const float> rows, std::size_t rowCount, std::span<const UnitGrid> grids,
    std::span<std::uint32_t> codes) const
{
    m_format->encode(m_scheme, shape(), rows.first(rowCount * m_columns), grids, codes);
}

void Quantizer::decode(std::span<const std::uint32_t> codes, std::size_t rowCount, std::span<const UnitGrid> grids,
    std::span<float> out) const
{
    m_format->decode(m_scheme, shape(), codes.first(rowCount * m_columns), grids, out);
}

std::size_t Quantizer::codeCount() const
{
    return m_format->codeCount(m_scheme);
}

std::vector<float> Quantizer::levels(const UnitGrid& grid) const
{
    const std::size_t count = codeCount();
    if (count == 0 || count > 256)
        return {};
    std::vector<std::uint32_t> codes(count);
    std::iota(codes.begin(), codes.end(), 0U);
    std::vector<float> values(count);
    m_format->decode(m_scheme, {count, count, true}, codes, {&grid, 1}, values);
    return values;
}

double Quantizer::worstCaseError(double absMax) const
{
    return m_format->worstCaseError(m_scheme, absMax);
}

}  // namespace quantloupe
