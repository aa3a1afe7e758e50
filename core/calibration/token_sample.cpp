// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/calibration/token_sample.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace quantloupe {
namespace {

/// The output function of SplitMix64 (Steele, Lea, Flood 2014): one to one, so that no two numbers tie.
std::uint64_t hashOf(std::uint64_t number)
{
    auto z = number + 0x9E3779B97F4A7C15U;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31U);
}

}  // namespace

TokenSample::TokenSample(std::size_t columns, std::size_t limit)
    : m_columns(columns)
    , m_limit(limit)
    , m_bound(std::numeric_limits<std::uint64_t>::max())
{
}

void TokenSample::offer(std::uint64_t number, const float* row)
{
    if (m_limit == 0 || hashOf(number) > m_bound)
        return;
    m_numbers.push_back(number);
    m_rows.insert(m_rows.end(), row, row + m_columns);
    if (m_numbers.size() >= 2 * m_limit)
        settle();
}

void TokenSample::offerAll(const TokenSample& more)
{
    for (std::size_t i = 0; i < more.m_numbers.size(); ++i)
        offer(more.m_numbers[i], more.m_rows.data() + i * m_columns);
}

void TokenSample::settle()
{
    std::vector<std::size_t> order(m_numbers.size());
    std::iota(order.begin(), order.end(), std::size_t {0});
    if (order.size() > m_limit) {
        const auto last = order.begin() + static_cast<std::ptrdiff_t>(m_limit);
        std::nth_element(order.begin(), last - 1, order.end(),
            [&](std::size_t a, std::size_t b) { return hashOf(m_numbers[a]) < hashOf(m_numbers[b]); });
        m_bound = hashOf(m_numbers[*(last - 1)]);
        order.erase(last, order.end());
    }
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return m_numbers[a] < m_numbers[b]; });
    std::vector<std::uint64_t> numbers;
    std::vector<float> rows;
    numbers.reserve(order.size());
    rows.reserve(order.size() * m_columns);
    for (const auto i : order) {
        numbers.push_back(m_numbers[i]);
        const auto* row = m_rows.data() + i * m_columns;
        rows.insert(rows.end(), row, row + m_columns);
    }
    m_numbers = std::move(numbers);
    m_rows = std::move(rows);
}

}  // namespace quantloupe
