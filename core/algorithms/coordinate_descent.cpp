// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/algorithms/coordinate_descent.h"

#include "core/algorithms/banded_product.h"
#include "core/algorithms/damped_moments.h"
#include "core/algorithms/row_panel.h"
#include "core/kernels/dense_algebra.h"

#include <algorithm>
#include <numeric>

namespace quantloupe {
namespace {

using kernels::Side;

constexpr std::size_t descentBlockColumns = 128;
constexpr std::size_t descentStripColumns = 32;

/// Some rows: the errors E and the slopes H′·Eᵀ, both turned on their side.
class DescentRows
{
public:
    DescentRows(const Quantizer& quantizer, const DampedMoments& moments, std::size_t firstRow, std::size_t rowCount)
        : m_moments(moments)
        , m_panel(quantizer, firstRow, rowCount)
        , m_order(moments.columns)
        , m_rows(rowCount)
        , m_rounded(moments.columns * rowCount)
        , m_slopes(moments.columns * rowCount)
        , m_codes(moments.columns * rowCount)
        , m_changes(descentBlockColumns * rowCount)
        , m_goals(rowCount)
        , m_next(rowCount)
    {
        std::iota(m_order.begin(), m_order.end(), 0U);
    }

    /// False: stopped.
    bool load(std::span<const float> weights, std::span<const std::uint32_t> codes, std::span<const UnitGrid> grids,
        const std::stop_token& stop)
    {
        m_panel.readGrids(grids);
        m_panel.gather(codes, m_order, std::span(m_codes));
        std::vector<float> errors(m_rounded.size());
        m_panel.gather(weights, m_order, std::span(errors));
        for (std::size_t j = 0; j < m_moments.columns; ++j)
            m_panel.decode(j, codesOf(j), columnOf(m_rounded, j));
        for (std::size_t i = 0; i < errors.size(); ++i)
            errors[i] -= m_rounded[i];
        return addProductInBands(1.0F, m_moments.panel(), Side::Plain,
            kernels::Matrix<const float> {errors.data(), m_moments.columns, m_rows, m_rows}, Side::Plain, 0.0F,
            slopes(0, m_moments.columns), stop);
    }

    /// False: nothing changed, or stopped.
    bool sweep(const std::stop_token& stop)
    {
        bool changed = false;
        for (std::size_t first = 0; first < m_moments.columns; first += descentBlockColumns) {
            if (stop.stop_requested())
                return false;
            const std::size_t end = std::min(first + descentBlockColumns, m_moments.columns);
            bool moved = false;
            for (std::size_t strip = first; strip < end; strip += descentStripColumns) {
                const std::size_t stripEnd = std::min(strip + descentStripColumns, end);
                if (!descendStrip(first, strip, stripEnd))
                    continue;
                moved = true;
                passOn(first, strip, stripEnd, first, strip);
                passOn(first, strip, stripEnd, stripEnd, end);
            }
            if (!moved)
                continue;
            changed = true;
            passOn(first, first, end, 0, first);
            passOn(first, first, end, end, m_moments.columns);
        }
        return changed;
    }

    void writeCodes(std::span<std::uint32_t> codes) const
    {
        m_panel.scatter(std::span(m_codes).first(m_codes.size()), m_order, codes);
    }

private:
    std::span<float> columnOf(std::vector<float>& columns, std::size_t j) const
    {
        return std::span(columns).subspan(j * m_rows, m_rows);
    }
    std::span<std::uint32_t> codesOf(std::size_t j) { return std::span(m_codes).subspan(j * m_rows, m_rows); }
    kernels::Matrix<float> slopes(std::size_t first, std::size_t count)
    {
        return {m_slopes.data() + first * m_rows, count, m_rows, m_rows};
    }

    /// Columns [begin, end) of the block that begins at `first`; slopes of these columns alone follow at once.
    bool descendStrip(std::size_t first, std::size_t begin, std::size_t end)
    {
        bool changed = false;
        for (std::size_t j = begin; j < end; ++j) {
            const auto rounded = columnOf(m_rounded, j), slope = columnOf(m_slopes, j);
            const auto change = columnOf(m_changes, j - first);
            const float curvature = m_moments.row(j)[j];
            for (std::size_t r = 0; r < m_rows; ++r)
                m_goals[r] = rounded[r] + slope[r] / curvature;
            m_panel.round(j, m_goals, codesOf(j), m_next);
            bool moved = false;
            for (std::size_t r = 0; r < m_rows; ++r) {
                change[r] = m_next[r] - rounded[r];
                moved |= change[r] != 0.0F;
                rounded[r] = m_next[r];
            }
            if (!moved)
                continue;
            changed = true;
            kernels::subtractOuterProduct({m_moments.row(j) + begin, end - begin}, change, slopes(begin, end - begin));
        }
        return changed;
    }

    /// What the changes of columns [begin, end) in the block that begins at `first` do to the slopes of [from, to).
    void passOn(std::size_t first, std::size_t begin, std::size_t end, std::size_t from, std::size_t to)
    {
        kernels::addProduct(-1.0F, m_moments.panel().part(begin, from, end - begin, to - from), Side::Transposed,
            kernels::Matrix<const float> {m_changes.data() + (begin - first) * m_rows, end - begin, m_rows, m_rows},
            Side::Plain, 1.0F, slopes(from, to - from));
    }

    const DampedMoments& m_moments;
    RowPanel m_panel;
    std::vector<std::uint32_t> m_order;
    std::size_t m_rows;
    std::vector<float> m_rounded, m_slopes;
    std::vector<std::uint32_t> m_codes;
    std::vector<float> m_changes, m_goals, m_next;
};

}  // namespace

bool descendCodes(const Quantizer& quantizer, std::span<const float> weights, std::size_t rowCount,
    const LayerInputs& inputs, double damping, RoundedLayer& layer, const Workload& work)
{
    const DampedMoments moments = dampedMoments(inputs, damping, work.stop);
    return forEachRowBlock(rowCount, work.stop, [&](std::size_t first, std::size_t count) {
        DescentRows rows(quantizer, moments, first, count);
        if (!rows.load(weights, layer.codes, layer.grids, work.stop))
            return;
        for (std::size_t sweep = 0; sweep < coordinateSweeps; ++sweep)
            if (!rows.sweep(work.stop))
                break;
        rows.writeCodes(layer.codes);
        work.finishRows(first, count);
    });
}

}  // namespace quantloupe
