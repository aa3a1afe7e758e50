// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/statistics/error_accumulator.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <functional>
#include <limits>

namespace quantloupe {

ErrorAccumulator::ErrorAccumulator(std::size_t columns, double range, std::size_t bins)
    : m_histogram {.low = -range, .high = range, .counts = std::vector<std::uint64_t>(bins)}
    , m_columns(columns)
{
}

void ErrorAccumulator::add(
    std::span<const float> originals, std::span<const float> quantized, std::span<float> rowErrorEnergy)
{
    const auto columns = m_columns.size();
    assert(originals.size() == rowErrorEnergy.size() * columns && quantized.size() == originals.size());
    std::vector<float> errors(columns);
    for (std::size_t row = 0; row < rowErrorEnergy.size(); ++row) {
        ErrorStatistics sums;
        for (std::size_t column = 0; column < columns; ++column) {
            const float w = originals[row * columns + column];
            const float q = quantized[row * columns + column];
            if (!std::isfinite(w)) {
                ++sums.nonFinite;
                errors[column] = std::numeric_limits<float>::quiet_NaN();
                continue;
            }
            const double error = static_cast<double>(w) - static_cast<double>(q);
            errors[column] = static_cast<float>(error);
            ++sums.count;
            sums.signalEnergy += static_cast<double>(w) * static_cast<double>(w);
            sums.quantizedEnergy += static_cast<double>(q) * static_cast<double>(q);
            sums.dotProduct += static_cast<double>(w) * static_cast<double>(q);
            sums.errorEnergy += error * error;
            sums.errorSum += error;
            sums.maxAbsError = std::max(sums.maxAbsError, std::abs(error));
            m_columns[column] += error * error;
        }
        m_histogram.add(errors);
        m_error += sums;
        rowErrorEnergy[row] = static_cast<float>(sums.errorEnergy);
    }
}

ErrorAccumulator& ErrorAccumulator::operator+=(const ErrorAccumulator& other)
{
    assert(m_columns.size() == other.m_columns.size());
    m_error += other.m_error;
    m_histogram += other.m_histogram;
    std::transform(m_columns.begin(), m_columns.end(), other.m_columns.begin(), m_columns.begin(), std::plus<> {});
    return *this;
}

Histogram ErrorAccumulator::histogram() const
{
    if (m_error.count == 0 || m_error.maxAbsError > 0.0)
        return m_histogram;
    Histogram lossless {.counts = std::vector<std::uint64_t>(m_histogram.counts.size())};
    if (!lossless.counts.empty())
        lossless.counts.front() = m_error.count;
    return lossless;
}

std::vector<float> ErrorAccumulator::columnErrorEnergy() const
{
    std::vector<float> energies(m_columns.size());
    std::transform(
        m_columns.begin(), m_columns.end(), energies.begin(), [](double energy) { return static_cast<float>(energy); });
    return energies;
}

}  // namespace quantloupe
