// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/statistics/error_shares.h"

#include "core/kernels/error_sums.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <tuple>

namespace quantloupe {

namespace {

constexpr UnitEnds endless {-std::numeric_limits<float>::infinity(), std::numeric_limits<float>::infinity()};

/// A total order, so that what is kept depends on neither the order of arrival nor the number of threads.
bool isLouder(const GroupEnergy& a, const GroupEnergy& b)
{
    return std::tie(b.energy, a.row, a.column) < std::tie(a.energy, b.row, b.column);
}

}  // namespace

ErrorShares::ErrorShares(std::size_t columns, std::size_t groupLength, std::size_t mostGroups)
    : m_columns(columns)
    , m_groupLength(groupLength)
    , m_mostGroups(mostGroups)
{
}

void ErrorShares::consider(const GroupEnergy& group)
{
    if (!(group.energy > 0.0) || m_mostGroups == 0)
        return;
    if (m_loudest.size() == m_mostGroups) {
        if (!isLouder(group, m_loudest.front()))
            return;
        std::pop_heap(m_loudest.begin(), m_loudest.end(), isLouder);
        m_loudest.pop_back();
    }
    m_loudest.push_back(group);
    std::push_heap(m_loudest.begin(), m_loudest.end(), isLouder);
}

void ErrorShares::add(std::span<const float> originals, std::span<const float> quantized, std::uint64_t firstRow,
    std::span<const UnitEnds> ends)
{
    if (m_columns == 0)
        return;
    std::size_t group = 0;
    for (std::size_t row = 0; row < originals.size() / m_columns; ++row)
        for (std::size_t column = 0; column < m_columns; column += m_groupLength, ++group) {
            const auto length = std::min(m_groupLength, m_columns - column);
            const auto first = row * m_columns + column;
            const auto weights = originals.subspan(first, length);
            const auto values = quantized.subspan(first, length);
            const auto& [lowest, highest] = ends.empty() ? endless : ends[group];
            const auto [inside, beyond] = kernels::exactErrorEnergies(weights, values, lowest, highest);
            m_rounding += inside;
            m_clipping += beyond;
            consider({firstRow + row, column, length, inside + beyond});
        }
}

ErrorShares& ErrorShares::operator+=(const ErrorShares& other)
{
    m_rounding += other.m_rounding;
    m_clipping += other.m_clipping;
    for (const auto& group : other.m_loudest)
        consider(group);
    return *this;
}

double ErrorShares::clippingShare() const
{
    const double all = m_rounding + m_clipping;
    return all > 0.0 ? m_clipping / all : 0.0;
}

std::vector<GroupEnergy> ErrorShares::loudestGroups() const
{
    auto groups = m_loudest;
    std::sort(groups.begin(), groups.end(), isLouder);
    return groups;
}

std::vector<ChannelShare> loudestChannels(std::span<const float> energies, std::size_t most)
{
    std::vector<std::size_t> order(energies.size());
    std::iota(order.begin(), order.end(), std::size_t {0});
    const auto shown = std::min(most, order.size());
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(shown), order.end(),
        [&](std::size_t a, std::size_t b) { return std::tie(energies[b], a) < std::tie(energies[a], b); });
    double total = 0.0;
    for (const float energy : energies)
        total += static_cast<double>(energy);
    std::vector<ChannelShare> channels;
    for (std::size_t i = 0; i < shown && energies[order[i]] > 0.0F; ++i)
        channels.push_back({order[i], static_cast<double>(energies[order[i]]) / total});
    return channels;
}

}  // namespace quantloupe
