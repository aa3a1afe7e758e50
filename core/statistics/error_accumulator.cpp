// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/statistics/error_accumulator.h"

#include "core/kernels/error_sums.h"

#include <algorithm>
#include <array>
#include <cassert>

namespace quantloupe {

namespace {

/// Columns are summed in float over so many rows, then in double.
constexpr std::size_t settledRows = 64;

/// Weights at a time: their errors stay in the first-level cache between the kernels.
constexpr std::size_t runLength = 1'024;

}  // namespace

ErrorAccumulator::ErrorAccumulator(std::size_t columns, double range, std::size_t bins)
    : m_histogram({.low = -range, .high = range, .counts = std::vector<std::uint64_t>(bins)})
    , m_columns(columns)
    , m_recentColumns(columns)
{
}

void ErrorAccumulator::add(
    std::span<const float> originals, std::span<const float> quantized, std::span<float> rowErrorEnergy)
{
    const auto columns = m_columns.size();
    std::array<float, runLength> errors;  // written before it is read
    for (std::size_t row = 0; row < rowErrorEnergy.size(); ++row) {
        kernels::ErrorSums sums;
        for (std::size_t first = 0; first < columns; first += runLength) {
            const auto count = std::min(runLength, columns - first);
            const auto at = row * columns + first;
            const auto run = std::span(errors).first(count);
            sums += kernels::errorProfile(originals.subspan(at, count), quantized.subspan(at, count),
                std::span(m_recentColumns).subspan(first, count), run);
            m_histogram.add(run);
        }
        rowErrorEnergy[row] = static_cast<float>(sums.errorEnergy);
        add(sums, columns);
        if (++m_recentRows == settledRows)
            settleColumns();
    }
}

void ErrorAccumulator::addIntegers(std::span<const float> originals, std::span<const IntegerPart> parts)
{
    if (parts.empty())
        return;
    const auto columns = parts.front().errors->m_columns.size(), rows = parts.front().rowErrorEnergy.size();
    std::vector<kernels::IntegerScheme> schemes(parts.size());
    std::vector<kernels::IntegerErrorJob> jobs(parts.size());
    for (std::size_t row = 0; row < rows;) {
        const auto count = std::min(settledRows - parts.front().errors->m_recentRows, rows - row);
        for (std::size_t i = 0; i < parts.size(); ++i) {
            const auto& part = parts[i];
            auto& histogram = part.errors->m_histogram;
            assert(part.errors->m_recentRows == parts.front().errors->m_recentRows
                && part.errors->m_columns.size() == columns && part.rowErrorEnergy.size() == rows);
            schemes[i] = part.scheme;
            if (part.scheme.rule == kernels::IntegerRule::Given && !part.scheme.shape.shared)
                schemes[i].grids = part.scheme.grids.subspan(row * part.scheme.shape.unitsPerRow());
            jobs[i] = {.scheme = &schemes[i],
                .profile = {.rowEnergies = part.rowErrorEnergy.subspan(row, count),
                    .columnEnergies = part.errors->m_recentColumns,
                    .histogram = histogram.isCounting() ? &histogram.tables() : nullptr,
                    .bins = histogram.bins()}};
        }
        kernels::integerErrors(originals.subspan(row * columns, count * columns), jobs);
        row += count;
        for (std::size_t i = 0; i < parts.size(); ++i) {
            auto& errors = *parts[i].errors;
            errors.add(jobs[i].sums, count * columns);
            errors.addClipped(jobs[i].clipped);
            errors.m_recentRows += count;
            if (errors.m_recentRows == settledRows)
                errors.settleColumns();
        }
    }
}

void ErrorAccumulator::add(const kernels::ErrorSums& sums, std::size_t weights)
{
    m_error += {.count = sums.count,
        .nonFinite = weights - sums.count,
        .signalEnergy = sums.signalEnergy,
        .quantizedEnergy = sums.quantizedEnergy,
        .errorEnergy = sums.errorEnergy,
        .dotProduct = sums.dotProduct,
        .errorSum = sums.errorSum,
        .maxAbsError = sums.maxAbsError};
}

void ErrorAccumulator::settleColumns()
{
    kernels::settleSums(m_recentColumns, m_columns);
    m_recentRows = 0;
}

ErrorAccumulator& ErrorAccumulator::operator+=(const ErrorAccumulator& other)
{
    assert(m_columns.size() == other.m_columns.size());
    m_error += other.m_error;
    m_histogram += other.m_histogram;
    kernels::addSums(other.m_columns, m_columns);
    if (other.m_recentRows != 0)  // settled sums are zero
        for (std::size_t i = 0; i < m_columns.size(); ++i)
            m_columns[i] += static_cast<double>(other.m_recentColumns[i]);
    return *this;
}

Histogram ErrorAccumulator::histogram() const
{
    if (m_error.count == 0 || m_error.maxAbsError > 0.0)
        return m_histogram.histogram();
    Histogram lossless {.counts = std::vector<std::uint64_t>(m_histogram.histogram().counts.size())};
    if (!lossless.counts.empty())
        lossless.counts.front() = m_error.count;
    return lossless;
}

std::vector<float> ErrorAccumulator::columnErrorEnergy() const
{
    std::vector<float> energies(m_columns.size());
    for (std::size_t i = 0; i < energies.size(); ++i)
        energies[i] = static_cast<float>(m_columns[i] + static_cast<double>(m_recentColumns[i]));
    return energies;
}

}  // namespace quantloupe
