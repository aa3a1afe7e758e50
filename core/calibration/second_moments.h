// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/zeroed_array.h"
#include "core/kernels/dense_algebra.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <stop_token>
#include <vector>

namespace quantloupe {

/// One square of a symmetric matrix that is cut into squares (at the edges rectangles).
struct MomentSquare {
    std::size_t row = 0, column = 0;  ///< of its first number in the matrix
    std::size_t rows = 0, columns = 0;
    std::size_t offset = 0;  ///< of its first number among those that are kept
};

/// How a symmetric matrix is kept by half: the squares on and above the diagonal, row of squares by row of squares,
/// each row-major.
class MomentLayout
{
public:
    static constexpr std::size_t side = 256;

    explicit MomentLayout(std::size_t columns);

    std::size_t columns() const { return m_columns; }
    const std::vector<MomentSquare>& squares() const { return m_squares; }
    /// How many numbers are kept.
    std::size_t size() const { return m_size; }
    /// The same without building one; saturates.
    static std::uint64_t sizeFor(std::uint64_t columns);

private:
    std::size_t m_columns, m_size = 0;
    std::vector<MomentSquare> m_squares;
};

/// Σ x·xᵀ over tokens, in double. Mergeable; empty until the first token.
class SecondMoments
{
public:
    explicit SecondMoments(std::size_t columns)
        : m_layout(columns)
    {
    }

    const MomentLayout& layout() const { return m_layout; }
    /// In the order of the layout; empty where nothing was added.
    std::span<const double> values() const { return m_values; }

    void allocate()
    {
        if (m_values.empty())
            m_values = ZeroedArray<double>(m_layout.size());
    }
    /// Adds the products of some tokens' channels to one square: multiplied in float32, added in double.
    /// Different squares may be added to at once. @pre allocate(), pieces have layout().columns() columns
    void add(const MomentSquare& square, std::span<const kernels::ConstMatrix> pieces);
    /// What a stop leaves is of no use. @pre stored is empty or of layout().size()
    void add(std::span<const float> stored, const std::stop_token& stop = {});
    /// columns × columns, both halves.
    std::vector<double> whole() const;

private:
    MomentLayout m_layout;
    ZeroedArray<double> m_values {};
};

/// columns × columns, both halves, of numbers in the order of the layout; empty: stopped. Works on the threads of the
/// caller's arena.
std::vector<double> wholeMoments(
    const MomentLayout& layout, std::span<const float> stored, const std::stop_token& stop = {});

}  // namespace quantloupe
