// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/algorithms/gptq.h"

#include "core/algorithms/row_panel.h"
#include "core/kernels/dense_algebra.h"

#include <algorithm>

namespace quantloupe {
namespace {

using kernels::Side;

constexpr std::size_t stripColumns = 32;

/// One block of rows on its way through the columns.
class GptqRows
{
public:
    GptqRows(const Quantizer& quantizer, const InverseFactor& factor, std::size_t firstRow, std::size_t rowCount)
        : m_quantizer(quantizer)
        , m_factor(factor)
        , m_panel(quantizer, firstRow, rowCount)
        , m_rows(rowCount)
        , m_weights(factor.columns * rowCount)
        , m_codes(factor.columns * rowCount)
        , m_block(gptqBlockColumns * rowCount)
        , m_errors(gptqBlockColumns * rowCount)
        , m_rounded(rowCount)
    {
    }

    /// False: stopped.
    bool run(std::span<const float> weights, bool chooseGrids, std::span<UnitGrid> grids, const std::stop_token& stop)
    {
        m_panel.gather(weights, m_factor.order, std::span(m_weights));
        for (std::size_t p = 0; p < m_factor.columns; ++p)
            if (m_factor.dead[m_factor.order[p]])
                std::fill_n(m_weights.begin() + static_cast<std::ptrdiff_t>(p * m_rows), m_rows, 0.0F);
        if (!chooseGrids)
            m_panel.readGrids(grids);
        for (std::size_t first = 0; first < m_factor.columns; first += gptqBlockColumns) {
            if (stop.stop_requested())
                return false;
            const std::size_t width = std::min(gptqBlockColumns, m_factor.columns - first);
            if (chooseGrids)
                chooseGroupGrids(first, first + width);
            roundBlock(first, width);
            passOn(first, width);
        }
        if (chooseGrids)
            m_panel.writeGrids(grids);
        return true;
    }

    void writeCodes(std::span<std::uint32_t> codes) const
    {
        m_panel.scatter(std::span(m_codes).first(m_codes.size()), m_factor.order, codes);
    }

    double loss() const { return m_loss; }

private:
    std::span<float> columnOf(std::vector<float>& columns, std::size_t position) const
    {
        return std::span(columns).subspan(position * m_rows, m_rows);
    }

    /// Of the groups that begin in these columns, by the weights as they are now.
    void chooseGroupGrids(std::size_t first, std::size_t end)
    {
        const std::size_t length = m_quantizer.unitLength();
        for (std::size_t unit = (first + length - 1) / length; unit * length < end; ++unit) {
            const std::size_t begin = unit * length, width = std::min(length, m_factor.columns - begin);
            std::vector<float> rows(m_rows * width);
            for (std::size_t r = 0; r < m_rows; ++r)
                for (std::size_t k = 0; k < width; ++k)
                    rows[r * width + k] = m_weights[(begin + k) * m_rows + r];
            m_quantizer.ofColumns(begin, width).fit(rows, m_rows, m_panel.gridsOf(unit));
        }
    }

    /// Errors reach the columns of the same strip one by one, those of the block behind it strip by strip.
    void roundBlock(std::size_t first, std::size_t width)
    {
        std::copy_n(m_weights.begin() + static_cast<std::ptrdiff_t>(first * m_rows), width * m_rows, m_block.begin());
        for (std::size_t begin = 0; begin < width; begin += stripColumns) {
            const std::size_t end = std::min(begin + stripColumns, width);
            for (std::size_t i = begin; i < end; ++i) {
                roundColumn(first, i);
                kernels::subtractOuterProduct({m_factor.row(first + i) + first + i + 1, end - i - 1},
                    columnOf(m_errors, i), blockColumns(i + 1, end));
            }
            const kernels::Matrix<const float> factor {
                m_factor.row(first + begin) + first + end, end - begin, width - end, m_factor.columns};
            kernels::addProduct(-1.0F, factor, Side::Transposed,
                kernels::Matrix<const float> {m_errors.data() + begin * m_rows, end - begin, m_rows, m_rows},
                Side::Plain, 1.0F, blockColumns(end, width));
        }
    }

    void roundColumn(std::size_t first, std::size_t i)
    {
        const std::size_t position = first + i;
        const float own = m_factor.row(position)[position];
        const auto column = columnOf(m_block, i), errors = columnOf(m_errors, i);
        m_panel.round(
            m_factor.order[position], column, std::span(m_codes).subspan(position * m_rows, m_rows), m_rounded);
        for (std::size_t r = 0; r < m_rows; ++r) {
            errors[r] = (column[r] - m_rounded[r]) / own;
            m_loss += static_cast<double>(errors[r]) * static_cast<double>(errors[r]);
        }
    }

    kernels::Matrix<float> blockColumns(std::size_t begin, std::size_t end)
    {
        return {m_block.data() + begin * m_rows, end - begin, m_rows, m_rows};
    }

    /// What the errors of a block mean for all columns behind it.
    void passOn(std::size_t first, std::size_t width)
    {
        const std::size_t next = first + width, rest = m_factor.columns - next;
        const kernels::Matrix<const float> factor {m_factor.row(first) + next, width, rest, m_factor.columns};
        kernels::addProduct(-1.0F, factor, Side::Transposed,
            kernels::Matrix<const float> {m_errors.data(), width, m_rows, m_rows}, Side::Plain, 1.0F,
            {m_weights.data() + next * m_rows, rest, m_rows, m_rows});
    }

    const Quantizer& m_quantizer;
    const InverseFactor& m_factor;
    RowPanel m_panel;
    std::size_t m_rows;
    std::vector<float> m_weights;
    std::vector<std::uint32_t> m_codes;
    std::vector<float> m_block, m_errors, m_rounded;
    double m_loss = 0.0;
};

}  // namespace

Result<RoundedLayer> roundByGptq(const Quantizer& quantizer, std::span<const float> weights, std::size_t rowCount,
    std::vector<UnitGrid> grids, const InverseFactor& factor, const Workload& work)
{
    const bool chooseGrids = grids.empty();
    if (chooseGrids && (!factor.ordered() || quantizer.wholeTensor() || quantizer.rowsPerUnit() > 1))
        return failure(ErrorCode::InvalidArgument, "gptq",
            "grids are chosen on the way for groups of columns in their own order alone: choose them before");
    if (chooseGrids)
        grids.resize(quantizer.gridCount(rowCount));
    RoundedLayer layer {std::vector<std::uint32_t>(weights.size()), std::move(grids)};
    std::vector<double> losses((rowCount + rowsPerBlock - 1) / rowsPerBlock);
    const bool done = forEachRowBlock(rowCount, work.stop, [&](std::size_t first, std::size_t count) {
        GptqRows rows(quantizer, factor, first, count);
        if (!rows.run(weights, chooseGrids, layer.grids, work.stop))
            return;
        rows.writeCodes(layer.codes);
        losses[first / rowsPerBlock] = rows.loss();
        work.finishRows(first, count);
    });
    if (!done)
        return calibrationStopped();
    for (const double loss : losses)
        layer.loss += 0.5 * factor.scale * loss;
    return layer;
}

}  // namespace quantloupe
