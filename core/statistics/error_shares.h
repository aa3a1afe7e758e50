// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace quantloupe {

/// What a unit can represent at most. Weights beyond lose by clipping what no finer step would give back.
struct UnitEnds {
    float lowest = 0.0F;
    float highest = 0.0F;
    bool operator==(const UnitEnds&) const = default;
};

/// Error energy of a run of weights within one row.
struct GroupEnergy {
    std::uint64_t row = 0;
    std::uint64_t column = 0;  ///< the first one
    std::uint64_t length = 0;
    double energy = 0.0;  ///< Σ(w−ŵ)², weight units squared
    bool operator==(const GroupEnergy&) const = default;
};

/// An output or input channel and its part of a tensor's error energy.
struct ChannelShare {
    std::uint64_t index = 0;
    double share = 0.0;  ///< 0 … 1
    bool operator==(const ChannelShare&) const = default;
};

/// Where the error of quantized rows lies: what of it is clipping, and which groups carry most of it.
///
/// An error counts as clipping where the weight lies beyond the ends of its unit, as rounding everywhere else; both are
/// sums of doubles over finite originals. Pieces merge by +=, in row order for the same bits every time.
class ErrorShares
{
public:
    /// Groups are the columns [g·groupLength, min((g+1)·groupLength, columns)) of each row. @pre groupLength > 0
    ErrorShares(std::size_t columns, std::size_t groupLength, std::size_t mostGroups);

    /// Adds whole rows, the first of which is `firstRow` of the tensor. `ends`: of each group, row by row; empty where
    /// no ends are known, and then all of the error counts as rounding.
    void add(std::span<const float> originals, std::span<const float> quantized, std::uint64_t firstRow,
        std::span<const UnitEnds> ends);
    ErrorShares& operator+=(const ErrorShares& other);

    std::size_t groupsPerRow() const { return (m_columns + m_groupLength - 1) / m_groupLength; }
    double rounding() const { return m_rounding; }
    double clipping() const { return m_clipping; }
    /// Clipping ÷ all; 0 where there is no error.
    double clippingShare() const;
    /// At most mostGroups groups with an error above zero, largest energy first; equals by row, then column.
    std::vector<GroupEnergy> loudestGroups() const;

private:
    void consider(const GroupEnergy& group);

    std::size_t m_columns, m_groupLength, m_mostGroups;
    double m_rounding = 0.0, m_clipping = 0.0;
    std::vector<GroupEnergy> m_loudest {};  ///< a heap with the least of them in front
};

/// At most `most` channels with an energy above zero, largest first, equals by index; shares of the sum of them all.
std::vector<ChannelShare> loudestChannels(std::span<const float> energies, std::size_t most);

}  // namespace quantloupe
