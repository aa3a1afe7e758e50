// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace quantloupe {

/// The inputs of some tokens, drawn evenly from all that were offered: of every token's number a hash is taken, and the
/// tokens of the smallest hashes stay. Which ones does not depend on the order, so samples can be merged.
class TokenSample
{
public:
    TokenSample(std::size_t columns, std::size_t limit);

    /// @pre no number is offered twice; `row` has as many values as there are columns
    void offer(std::uint64_t number, const float* row);
    /// @pre the same columns
    void offerAll(const TokenSample& more);
    /// Only the tokens that stay, in the order of their numbers.
    void settle();

    std::size_t columns() const { return m_columns; }
    const std::vector<std::uint64_t>& numbers() const { return m_numbers; }
    const std::vector<float>& rows() const { return m_rows; }  ///< tokens × columns

private:
    std::size_t m_columns, m_limit;
    std::uint64_t m_bound;  ///< hashes above it have no chance
    std::vector<std::uint64_t> m_numbers;
    std::vector<float> m_rows;
};

}  // namespace quantloupe
