// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/algorithms/inverse_factor.h"
#include "core/algorithms/row_blocks.h"
#include "core/number_formats/quantizer.h"

#include <cstdint>
#include <span>
#include <vector>

namespace quantloupe {

/// Columns whose errors reach the columns behind them in one matrix product.
constexpr std::size_t gptqBlockColumns = 128;

/// A matrix of codes and the grids they lie on.
struct RoundedLayer {
    std::vector<std::uint32_t> codes {};  ///< rows × columns, as Quantizer::encode() gives them
    std::vector<UnitGrid> grids {};       ///< as Quantizer orders them
    double loss = 0.0;                    ///< ½·tr(E·H·Eᵀ) with the damped H, E = W − Ŵ
};

/// Rounds column after column and makes up for each error in the columns not yet rounded (Frantar et al. 2022, arXiv
/// 2210.17323). Weights of dead channels count as 0.
///
/// grids: of every unit, chosen before (static groups); or empty, for groups of columns in their own order: then each
/// group's grid is chosen when its turn comes, from weights that hold what earlier blocks of columns were made up for,
/// but not what columns of the same block were, as the original does it.
///
/// Weights are float, products by OpenBLAS; blocks of rows run in parallel, with the same bits whatever the number of
/// threads. Errors: InvalidArgument (no grids, and the factor is by activity or units are not groups), Cancelled.
/// @pre weights are rowCount × factor.columns, finite; the quantizer has grids
Result<RoundedLayer> roundByGptq(const Quantizer& quantizer, std::span<const float> weights, std::size_t rowCount,
    std::vector<UnitGrid> grids, const InverseFactor& factor, const Workload& work);

}  // namespace quantloupe
