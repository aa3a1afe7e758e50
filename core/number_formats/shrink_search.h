// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/kernels/ranges.h"
#include "core/number_formats/unit_fitting.h"

#include <cstddef>
#include <span>
#include <vector>

namespace quantloupe {

/// GPTQ's clipping search (arXiv 2210.17323, its Quantizer with mse=True: norm 2.4, grid 100, maxshrink 0.8) over the
/// units of a band of rows; candidates are tried for whole rows at once so that the kernels are entered once per row
/// and not once per unit.
class ShrinkSearch
{
public:
    ShrinkSearch(const GridMethods& format, const FittingTask& task);

    /// grids: one per unit of the band.
    void fit(std::span<const float> rows, std::size_t rowCount, std::span<UnitGrid> grids);

private:
    void findRanges(std::span<const float> rows, std::size_t rowCount);
    void addErrors(std::span<const float> row);

    const GridMethods& m_format;
    const FittingTask& m_task;
    std::vector<float> m_columnFactors {};  ///< importance^(1/2.4), so that errors times it count as important
    std::vector<kernels::FiniteRange> m_ranges {};
    std::vector<float> m_factors {};
    std::vector<UnitGrid> m_candidates {};
    std::vector<double> m_errors {}, m_rowErrors {};
    std::vector<double> m_best {};
    std::vector<float> m_quantized {}, m_weighted {};
};

}  // namespace quantloupe
