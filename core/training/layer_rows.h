// SPDX-License-Identifier: GPL-3.0-or-later
// The weights of a layer under training. For use inside this room.
#pragma once

#include "core/algorithms/adam.h"
#include "core/algorithms/output_gradient.h"
#include "core/algorithms/trained_quantizer.h"
#include "core/base/zeroed_array.h"
#include "core/training/trained_layer.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

namespace quantloupe {

struct RowRates {
    double weights = 0.0, grids = 0.0;
    std::uint64_t number = 1;  ///< of the step, from 1
};

/// The rows of a layer in blocks that know nothing of each other: each is rounded, multiplied and updated in one go,
/// while its weights are in the cache. Where rows share grids (whole tensors, scales rounded together), all are rounded
/// first. The same bits for any number of threads of the caller's arena.
class LayerRows
{
public:
    /// Errors: those of TrainedQuantizer::create().
    static Result<LayerRows> create(const Scheme& scheme, StepRule rule, std::size_t rows, std::size_t columns);

    /// Begins at these weights. Where grids are given, learned ones begin as these and estimated ones stay so; else
    /// learned ones begin as those of least squared error, columns weighed by `importance`. False: stopped.
    bool begin(std::span<const float> weights, std::span<const UnitGrid> grids, std::span<const float> importance,
        const std::stop_token& stop);

    /// ‖(W − Ŵ)·x‖² of each token, the mean of which is the loss: with E = Ŵ − W and n tokens, Eᵀ·X and
    /// 2/n · (E·Xᵀ)·X, or 2·E·M; then one step of Adam. The loss, before the update. What a stop interrupts goes on in
    /// the next call with the same arguments: blocks that are done are left alone. Errors: Cancelled, Malformed
    /// (products that overflow; that block was not updated).
    Result<double> step(
        std::span<const float> original, const StepInputs& inputs, const RowRates& rates, const std::stop_token& stop);

    /// Ŵ of all rows, as of now; empty: stopped.
    std::span<const float> quantize(const std::stop_token& stop);
    /// Weights and grids as of the last quantize().
    TrainedLayer layer() const;

private:
    struct Block {
        std::size_t firstRow = 0, rows = 0;
        std::uint64_t steps = 0;  ///< that are done
        double loss = 0.0;        ///< in the last of them
        AdamState weights {}, grids {};
    };
    LayerRows(std::size_t rows, std::size_t columns)
        : m_rows(rows)
        , m_columns(columns)
    {
    }
    std::span<float> weightsOf(const Block& block);
    /// Whether each block has a quantizer of its own.
    bool apart() const { return m_quantizers.size() == m_blocks.size(); }
    bool quantizeTogether(const std::stop_token& stop);
    bool stepBlock(std::size_t index, std::span<const float> original, const StepInputs& inputs, const RowRates& rates,
        const std::stop_token& stop);

    std::size_t m_rows, m_columns;
    std::vector<Block> m_blocks {};
    std::vector<TrainedQuantizer> m_quantizers {};  ///< of each block, or one
    ZeroedArray<float> m_weights {}, m_quantized {};
    std::uint64_t m_roundedFor = 0;  ///< the step that m_quantized, where rows share grids, was last rounded for
};

}  // namespace quantloupe
