// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/algorithms/trained_rows.h"

#include "core/algorithms/adam.h"
#include "core/algorithms/banded_product.h"
#include "core/algorithms/coordinate_descent.h"
#include "core/algorithms/damped_moments.h"
#include "core/algorithms/output_gradient.h"
#include "core/algorithms/trained_quantizer.h"
#include "core/schemes/format_traits.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace quantloupe {
namespace {

constexpr std::uint64_t kWarmUp = 20;

/// What of the grids is learned.
StepRule ruleOf(const Scheme& scheme)
{
    using Kind = Granularity::Kind;
    const bool own = scheme.granularity.kind == Kind::Group || scheme.granularity.kind == Kind::Channel;
    const bool plain = scheme.scales == ScaleStorage::Float32 || scheme.scales == ScaleStorage::Float16;
    if (!isInteger(scheme.format) || scheme.format == Format::Int16 || !own || !plain)
        return StepRule::Estimated;
    return scheme.symmetry == Symmetry::AsymmetricFloat ? StepRule::Affine : StepRule::Scale;
}

template<class Number>
std::span<Number> rowOf(std::vector<Number>& matrix, std::size_t row, std::size_t columns)
{
    return std::span(matrix).subspan(row * columns, columns);
}

/// Some rows under training; each takes steps as long as its own grids are wide.
class RowsInTraining
{
public:
    RowsInTraining(TrainedQuantizer quantizer, std::span<const float> original, std::vector<float> start,
        std::span<const UnitGrid> grids, std::size_t rows)
        : m_quantizer(std::move(quantizer))
        , m_rows(rows)
        , m_columns(original.size() / rows)
        , m_original(original)
        , m_weights(std::move(start))
        , m_gradient(original.size())
        , m_bestWeights(m_weights)
        , m_bestGrids(grids.begin(), grids.end())
        , m_losses(rows)
        , m_bestLosses(rows, std::numeric_limits<double>::infinity())
        , m_stepSizes(rows)
        , m_optimizers(rows)
    {
        m_quantizer.initialize(grids);
        for (std::size_t row = 0; row < rows; ++row) {
            double squares = 0.0;
            for (auto i = row * m_columns; i < (row + 1) * m_columns; ++i) {
                const auto error = static_cast<double>(original[i]) - static_cast<double>(m_weights[i]);
                squares += error * error;
            }
            m_stepSizes[row] = std::sqrt(12.0 * squares / static_cast<double>(m_columns));
        }
    }

    /// Looks at the rows as they are and keeps what is better than all before. False: stopped.
    bool evaluate(const StepInputs& moments, const std::stop_token& stop)
    {
        if (!m_quantizer.quantize(m_weights, m_gradient, stop))
            return false;
        for (std::size_t i = 0; i < m_gradient.size(); ++i)
            m_gradient[i] -= m_original[i];
        if (!outputGradient(moments, {m_gradient.data(), m_rows, m_columns, m_columns}, stop, m_losses))
            return false;
        for (std::size_t row = 0; row < m_rows; ++row)
            if (m_losses[row] < m_bestLosses[row])
                keep(row);
        return true;
    }

    /// One step of Adam down the slopes of the last evaluate(). `number` counts from 1.
    void step(double rate, double gridRate, std::uint64_t number)
    {
        auto& parameters = m_quantizer.parameters();
        std::vector<float> byGrids(parameters.size());
        m_quantizer.propagate(m_weights, m_gradient, byGrids);
        const auto perRow = unitsPerRow(), units = m_rows * perRow;
        for (std::size_t row = 0; row < m_rows; ++row) {
            auto& own = m_optimizers[row];
            const double length = rate * m_stepSizes[row];
            own.weights.update(
                rowOf(m_weights, row, m_columns), rowOf(m_gradient, row, m_columns), length, 0.0, number, {});
            const auto learn = [&](AdamState& state, std::size_t first) {
                state.update(std::span(parameters).subspan(first, perRow), std::span(byGrids).subspan(first, perRow),
                    length * gridRate, 0.0, number, {});
            };
            if (!parameters.empty())
                learn(own.scales, row * perRow);
            if (parameters.size() > units)
                learn(own.minima, units + (row * perRow));
        }
        m_quantizer.clampParameters();
    }

    const std::vector<float>& weights() const { return m_bestWeights; }
    const std::vector<UnitGrid>& grids() const { return m_bestGrids; }

private:
    struct Optimizers {
        AdamState weights {}, scales {}, minima {};
    };
    std::size_t unitsPerRow() const { return m_quantizer.quantizer().unitsPerRow(); }

    void keep(std::size_t row)
    {
        m_bestLosses[row] = m_losses[row];
        std::ranges::copy(rowOf(m_weights, row, m_columns), rowOf(m_bestWeights, row, m_columns).begin());
        if (m_quantizer.quantizer().wholeTensor())
            return;
        const auto perRow = unitsPerRow();
        std::ranges::copy(
            std::span(m_quantizer.grids()).subspan(row * perRow, perRow), rowOf(m_bestGrids, row, perRow).begin());
    }

    TrainedQuantizer m_quantizer;
    std::size_t m_rows, m_columns;
    std::span<const float> m_original;
    std::vector<float> m_weights, m_gradient, m_bestWeights;
    std::vector<UnitGrid> m_bestGrids;
    std::vector<double> m_losses, m_bestLosses, m_stepSizes;
    std::vector<Optimizers> m_optimizers;
};

/// One matrix on its way from round to round.
class TrainedMatrix
{
public:
    TrainedMatrix(const Quantizer& quantizer, std::span<const float> weights, const LayerInputs& inputs,
        RoundedLayer& layer, const Workload& work)
        : m_quantizer(quantizer)
        , m_weights(weights)
        , m_columns(quantizer.columns())
        , m_rows(weights.size() / quantizer.columns())
        , m_inputs(inputs)
        , m_layer(layer)
        , m_work(work)
        , m_losses(m_rows)
    {
    }

    /// False: stopped.
    bool begin()
    {
        return forEachRowBlock(m_rows, m_work.stop, [&](std::size_t first, std::size_t count) {
            measure(m_layer, first, count, std::span(m_losses).subspan(first, count));
        });
    }

    /// Share of the loss by H that training and descent took away. Nothing: stopped.
    std::optional<double> round(
        const TrainedQuantizer& learner, double damping, const RowTrainingOptions& options, const ProgressShare& share)
    {
        RoundedLayer next = m_layer;
        const auto [during, after] = share.split(0.95);
        if (!train(learner, damping, options, next, during)
            || !descendCodes(m_quantizer, m_weights, m_rows, m_inputs, damping, next, {m_work.stop, after, m_rows}))
            return std::nullopt;
        const double before = std::accumulate(m_losses.begin(), m_losses.end(), 0.0);
        const bool done = forEachRowBlock(m_rows, m_work.stop, [&](std::size_t first, std::size_t count) {
            std::vector<double> losses(count);
            if (measure(next, first, count, losses))
                for (std::size_t row = 0; row < count; ++row)
                    if (losses[row] < m_losses[first + row])
                        take(next, first + row, losses[row]);
        });
        if (!done)
            return std::nullopt;
        const double now = std::accumulate(m_losses.begin(), m_losses.end(), 0.0);
        return before > 0.0 ? 1.0 - (now / before) : 0.0;
    }

private:
    template<class Grids>
    auto gridsOf(Grids& all, std::size_t first, std::size_t count) const
    {
        const auto perRow = m_quantizer.unitsPerRow();
        return m_quantizer.wholeTensor() ? std::span(all) : std::span(all).subspan(first * perRow, count * perRow);
    }

    bool train(TrainedQuantizer learner, double damping, const RowTrainingOptions& options, RoundedLayer& layer,
        const ProgressShare& share) const
    {
        const auto moments = dampedMoments(m_inputs, damping, m_work.stop);
        const StepInputs inputs {.values = moments.panel(), .moments = true};
        const auto all = m_rows * options.steps;
        return forEachRowBlock(m_rows, m_work.stop, [&](std::size_t first, std::size_t count) {
            const auto codes = std::span(layer.codes).subspan(first * m_columns, count * m_columns);
            const auto grids = gridsOf(layer.grids, first, count);
            std::vector<float> start(codes.size());
            m_quantizer.decode(codes, count, grids, start);
            RowsInTraining rows(learner.ofRows(count), m_weights.subspan(first * m_columns, count * m_columns),
                std::move(start), grids, count);
            for (std::uint64_t step = 0; step < options.steps; ++step) {
                if (!rows.evaluate(inputs, m_work.stop))
                    return;
                rows.step(
                    scheduledRate(options.learningRate, step, options.steps, kWarmUp), options.gridRate, step + 1);
                const auto done = (first * options.steps) + (count * step);
                share.advance(done, done + count, all);
            }
            if (!rows.evaluate(inputs, m_work.stop))
                return;
            m_quantizer.encode(rows.weights(), count, rows.grids(), codes);
            if (!m_quantizer.wholeTensor())
                std::ranges::copy(rows.grids(), grids.begin());
        });
    }

    /// (w − ŵ)·H·(w − ŵ)ᵀ of some rows, in double. False: stopped.
    bool measure(const RoundedLayer& layer, std::size_t first, std::size_t count, std::span<double> losses) const
    {
        const auto size = count * m_columns;
        std::vector<float> quantized(size);
        m_quantizer.decode(std::span(layer.codes).subspan(first * m_columns, size), count,
            gridsOf(layer.grids, first, count), quantized);
        std::vector<double> errors(size), slopes(size);
        for (std::size_t i = 0; i < size; ++i)
            errors[i] = static_cast<double>(m_weights[(first * m_columns) + i]) - static_cast<double>(quantized[i]);
        if (!addProductInBands(1.0, kernels::Matrix<const double> {errors.data(), count, m_columns, m_columns},
                kernels::Side::Plain,
                kernels::Matrix<const double> {m_inputs.secondMoments.data(), m_columns, m_columns, m_columns},
                kernels::Side::Plain, 0.0, {slopes.data(), count, m_columns, m_columns}, m_work.stop))
            return false;
        for (std::size_t row = 0; row < count; ++row)
            losses[row] = std::inner_product(errors.begin() + static_cast<std::ptrdiff_t>(row * m_columns),
                errors.begin() + static_cast<std::ptrdiff_t>((row + 1) * m_columns),
                slopes.begin() + static_cast<std::ptrdiff_t>(row * m_columns), 0.0);
        return true;
    }

    void take(RoundedLayer& from, std::size_t row, double loss)
    {
        m_losses[row] = loss;
        std::ranges::copy(rowOf(from.codes, row, m_columns), rowOf(m_layer.codes, row, m_columns).begin());
        if (!m_quantizer.wholeTensor())
            std::ranges::copy(gridsOf(from.grids, row, 1), gridsOf(m_layer.grids, row, 1).begin());
    }

    const Quantizer& m_quantizer;
    std::span<const float> m_weights;
    std::size_t m_columns, m_rows;
    const LayerInputs& m_inputs;
    RoundedLayer& m_layer;
    const Workload& m_work;
    std::vector<double> m_losses;
};

}  // namespace

Result<void> trainRows(const Quantizer& quantizer, std::span<const float> weights, std::size_t rowCount,
    const LayerInputs& inputs, double damping, const RowTrainingOptions& options, RoundedLayer& layer,
    const Workload& work)
{
    auto scheme = quantizer.scheme();
    scheme.algorithms.clear();
    auto learner =
        TrainedQuantizer::create(scheme, ruleOf(scheme), std::min(rowCount, rowsPerBlock), quantizer.columns());
    if (!learner)
        return tl::unexpected(learner.error());
    Progress unseen;
    auto remaining = work.progress.value_or(ProgressShare(unseen, 0));
    TrainedMatrix matrix(quantizer, weights, inputs, layer, work);
    if (!matrix.begin())
        return calibrationStopped();
    for (unsigned round = 0; round < options.rounds; ++round) {
        const auto [share, rest] = remaining.split(1.0 / static_cast<double>(options.rounds - round));
        remaining = rest;
        const auto gain = matrix.round(*learner, damping, options, share);
        if (!gain)
            return calibrationStopped();
        if (*gain < options.leastGain)
            break;
    }
    remaining.finish();
    return {};
}

}  // namespace quantloupe
