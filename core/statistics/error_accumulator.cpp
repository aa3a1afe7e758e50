// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/statistics/error_accumulator.h"

#include "core/kernels/error_sums.h"

#include <algorithm>
#include <cassert>
#include <functional>

namespace quantloupe {

ErrorAccumulator::ErrorAccumulator(std::size_t columns, double range, std::size_t bins)
    : m_histogram({.low = -range, .high = range, .counts = std::vector<std::uint64_t>(bins)})
    , m_columns(columns)
{
}

void ErrorAccumulator::add(std::span<const float> originals, std::span<const float> quantized,
    std::span<float> rowErrorEnergy, std::span<float> errors)
{
    const auto sums = kernels::errorProfiles(originals, quantized, rowErrorEnergy, m_columns, errors);
    m_error += {.count = sums.count,
        .nonFinite = originals.size() - sums.count,
        .signalEnergy = sums.signalEnergy,
        .quantizedEnergy = sums.quantizedEnergy,
        .errorEnergy = sums.errorEnergy,
        .dotProduct = sums.dotProduct,
        .errorSum = sums.errorSum,
        .maxAbsError = sums.maxAbsError};
    m_histogram.add(errors);
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
        return m_histogram.histogram();
    Histogram lossless {.counts = std::vector<std::uint64_t>(m_histogram.histogram().counts.size())};
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
