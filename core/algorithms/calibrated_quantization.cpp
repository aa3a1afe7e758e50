// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/algorithms/calibrated_quantization.h"

#include "core/algorithms/awq.h"
#include "core/algorithms/bias_correction.h"
#include "core/algorithms/combinations.h"
#include "core/algorithms/coordinate_descent.h"
#include "core/algorithms/grid_choice.h"
#include "core/algorithms/input_basis.h"
#include "core/algorithms/smooth_quant.h"
#include "core/algorithms/trained_rows.h"
#include "core/base/zeroed_array.h"
#include "core/kernels/ranges.h"

#include <algorithm>
#include <cmath>

namespace quantloupe {
namespace {

/// One layer on its way; every step is a function of its own.
class CalibratedLayer
{
public:
    CalibratedLayer(Quantizer quantizer, std::span<const float> weights, std::size_t rowCount,
        const LayerInputs& inputs, const CalibrationOptions& options, Workload work)
        : m_result {.quantizer = std::move(quantizer), .codes = {}, .grids = {}}
        , m_original(weights)
        , m_rows(rowCount)
        , m_inputs(&inputs)
        , m_options(options)
        , m_work(std::move(work))
    {
    }

    Result<CalibratedWeights> run()
    {
        const LayerInputs& original = *m_inputs;
        for (const auto step : {&CalibratedLayer::scale, &CalibratedLayer::rotate, &CalibratedLayer::round})
            if (auto done = (this->*step)(); !done)
                return tl::unexpected(done.error());
        if (!finish(original.mean))
            return calibrationStopped();
        return std::move(m_result);
    }

private:
    bool has(Algorithm algorithm) const { return uses(quantizer().scheme(), algorithm); }
    /// Whether grids are least squares and codes descend: cd, or qat where cd would do what it begins from.
    bool descends() const
    {
        Scheme scheme = quantizer().scheme();
        std::replace(scheme.algorithms.begin(), scheme.algorithms.end(), Algorithm::Qat, Algorithm::Cd);
        return uses(scheme, Algorithm::Cd) && algorithmRefusal(scheme, Calibration::Given).empty();
    }
    const Quantizer& quantizer() const { return m_result.quantizer; }
    std::size_t columns() const { return quantizer().columns(); }

    /// The way back of the weights, and what a corrected bias adds. False: stopped.
    bool finish(std::span<const float> means)
    {
        const bool corrects = has(Algorithm::BiasCorrection);
        m_result.bias.resize(corrects ? m_rows : 0);
        return forEachRowBlock(m_rows, m_work.stop, [&](std::size_t first, std::size_t count) {
            const auto rows = std::span(m_result.weights).subspan(first * columns(), count * columns());
            TransformScratch scratch;
            m_result.transform.undo(rows, first, columns(), scratch);
            if (!corrects)
                return;
            std::vector<float> lost(rows.size());
            for (std::size_t i = 0; i < lost.size(); ++i)
                lost[i] = m_original[first * columns() + i] - rows[i];
            const auto bias = biasOf(lost, means);
            std::copy(bias.begin(), bias.end(), m_result.bias.begin() + static_cast<std::ptrdiff_t>(first));
        });
    }

    Result<void> scale()
    {
        if (has(Algorithm::Smooth))
            m_result.transform.columnFactors = smoothingScales(m_original, m_inputs->absMax, m_options.smoothing);
        if (has(Algorithm::Awq)) {
            auto found = searchAwqScales(quantizer(), m_original, m_rows, *m_inputs, m_work.stop);
            if (!found)
                return tl::unexpected(found.error());
            m_result.transform.columnFactors = std::move(found->scales);
        }
        if (!m_result.transform.columnFactors.empty())
            use(scaledInputs(*m_inputs, m_result.transform.columnFactors, m_work.stop));
        return {};
    }

    Result<void> rotate()
    {
        if (has(Algorithm::Hadamard)) {
            auto rotation = HadamardRotation::create(columns());
            if (!rotation)
                return tl::unexpected(rotation.error());
            m_result.transform.rotation = std::move(*rotation);
            use(rotatedInputs(*m_inputs, *m_result.transform.rotation, m_work.stop));
        }
        m_weights = transformed();
        if (m_work.stopped())
            return calibrationStopped();
        if (quantizer().needsTensorAbsMax())
            m_result.quantizer.setTensorAbsMax(kernels::rangeOf(m_weights).absMax());
        if (has(Algorithm::Imatrix))
            m_result.quantizer.setImportance(meanSquares(*m_inputs));
        return {};
    }

    std::span<const float> transformed()
    {
        if (m_result.transform.isIdentity())
            return m_original;
        m_transformed = ZeroedArray<float>(m_original.size());
        forEachRowBlock(m_rows, m_work.stop, [&](std::size_t first, std::size_t count) {
            TransformScratch scratch;
            const auto rows = m_original.subspan(first * columns(), count * columns());
            const auto made = m_result.transform.apply(rows, first, columns(), scratch);
            std::copy(made.begin(), made.end(), m_transformed.part(first * columns(), rows.size()).begin());
        });
        return m_transformed;
    }

    Result<void> round()
    {
        m_result.weights.resize(m_weights.size());
        if (!quantizer().hasGrids())
            return pack();
        std::optional<InverseFactor> factor;
        if (has(Algorithm::Gptq) || has(Algorithm::Cd) || has(Algorithm::Qat)) {
            auto found = inverseFactor(*m_inputs, m_options.factor, m_work.stop);
            if (!found)
                return tl::unexpected(found.error());
            factor = std::move(*found);
            m_result.damping = factor->damping;
        }
        const bool later = has(Algorithm::Gptq) && choosesGridsLater();
        std::vector<UnitGrid> grids = later ? std::vector<UnitGrid> {} : gridsOf(factor ? &*factor : nullptr);
        if (m_work.stopped())
            return calibrationStopped();
        auto layer = roundOn(std::move(grids), factor ? &*factor : nullptr);
        if (!layer)
            return tl::unexpected(layer.error());
        m_result.codes = std::move(layer->codes);
        m_result.grids = std::move(layer->grids);
        return decode();
    }

    /// Whole bands of rows that share units.
    Result<void> decode()
    {
        const std::size_t band = quantizer().wholeTensor() ? 1 : quantizer().rowsPerUnit();
        const std::size_t step = (rowsPerBlock + band - 1) / band * band;
        const bool done = forEachIndex((m_rows + step - 1) / step, m_work.stop, [&](std::size_t block) {
            const std::size_t first = block * step, count = std::min(step, m_rows - first);
            const auto grids = std::span<const UnitGrid>(m_result.grids)
                                   .subspan(quantizer().wholeTensor() ? 0 : first / band * quantizer().unitsPerRow());
            quantizer().decode(std::span(m_result.codes).subspan(first * columns(), count * columns()), count, grids,
                std::span(m_result.weights).subspan(first * columns(), count * columns()));
        });
        return done ? Result<void> {} : calibrationStopped();
    }

    Result<void> pack()
    {
        m_result.codes.resize(m_weights.size());
        m_result.packed.resize(m_rows * quantizer().packedRowBytes());
        const std::size_t bytes = quantizer().packedRowBytes();
        const bool done = forEachRowBlock(m_rows, m_work.stop, [&](std::size_t first, std::size_t count) {
            const auto rows = m_weights.subspan(first * columns(), count * columns());
            const auto packed = std::span(m_result.packed).subspan(first * bytes, count * bytes);
            quantizer().pack(rows, count, packed);
            quantizer().unpack(packed, count, std::span(m_result.weights).subspan(first * columns(), rows.size()));
            quantizer().encode(rows, count, {}, std::span(m_result.codes).subspan(first * columns(), rows.size()));
            m_work.finishRows(first, count);
        });
        return done ? Result<void> {} : calibrationStopped();
    }

    bool choosesGridsLater() const
    {
        const Scheme& scheme = quantizer().scheme();
        return !m_options.staticGroups && !m_options.factor.byActivity && !has(Algorithm::Hqq) && !has(Algorithm::Awq)
            && scheme.granularity.kind == Granularity::Kind::Group && scheme.scales != ScaleStorage::Double8;
    }

    std::vector<UnitGrid> gridsOf(const InverseFactor* factor) const
    {
        if (descends())
            return leastSquaresGridsOf(quantizer(), m_weights, m_rows, diagonal(), m_work.stop);
        if (has(Algorithm::Awq) && m_options.clip)
            return searchClippedGrids(quantizer(), m_weights, m_rows, *m_inputs, m_work.stop).grids;
        // Groups see dead channels as the 0 they become, as in the original; channels see them as they were.
        if (factor == nullptr || quantizer().unitLength() == columns()
            || std::none_of(factor->dead.begin(), factor->dead.end(), [](bool dead) { return dead; }))
            return chooseGrids(quantizer(), m_weights, m_rows, m_work.stop);
        std::vector<float> living(m_weights.begin(), m_weights.end());
        for (std::size_t i = 0; i < living.size(); ++i)
            if (factor->dead[i % columns()])
                living[i] = 0.0F;
        return chooseGrids(quantizer(), living, m_rows, m_work.stop);
    }

    Result<RoundedLayer> roundOn(std::vector<UnitGrid> grids, const InverseFactor* factor)
    {
        if (factor != nullptr)
            return roundOn(std::move(grids), *factor);
        if (has(Algorithm::AdaRound)) {
            auto layer = roundByAdaRound(
                quantizer(), m_weights, m_rows, std::move(grids), *m_inputs, m_options.adaRound, m_work);
            return layer.codes.empty() ? Result<RoundedLayer>(calibrationStopped()) : std::move(layer);
        }
        RoundedLayer layer {std::vector<std::uint32_t>(m_weights.size()), std::move(grids)};
        quantizer().encode(m_weights, m_rows, layer.grids, layer.codes);
        m_work.finishRows(0, m_rows);
        return layer;
    }

    /// gptq, and what goes on from it.
    Result<RoundedLayer> roundOn(std::vector<UnitGrid> grids, const InverseFactor& factor)
    {
        const bool falls = descends(), trains = has(Algorithm::Qat);
        const auto [before, forTraining] = m_work.progress->split(trains ? 0.1 : 1.0);
        const auto [forRounding, forDescent] = before.split(falls ? 0.5 : 1.0);
        auto layer =
            roundByGptq(quantizer(), m_weights, m_rows, std::move(grids), factor, {m_work.stop, forRounding, m_rows});
        if (!layer)
            return layer;
        if (falls
            && !descendCodes(
                quantizer(), m_weights, m_rows, *m_inputs, factor.damping, *layer, {m_work.stop, forDescent, m_rows}))
            return calibrationStopped();
        if (trains)
            if (auto done = trainRows(quantizer(), m_weights, m_rows, *m_inputs, factor.damping, m_options.training,
                    *layer, {m_work.stop, forTraining, m_rows});
                !done)
                return tl::unexpected(done.error());
        return layer;
    }

    std::vector<float> diagonal() const
    {
        std::vector<float> values(columns());
        for (std::size_t i = 0; i < values.size(); ++i)
            values[i] = static_cast<float>(m_inputs->secondMoments[i * columns() + i]);
        return values;
    }

    void use(LayerInputs inputs)
    {
        m_ownInputs = std::move(inputs);
        m_inputs = &m_ownInputs;
    }

    CalibratedWeights m_result;
    std::span<const float> m_original, m_weights {};
    std::size_t m_rows;
    LayerInputs m_ownInputs {};
    const LayerInputs* m_inputs;
    const CalibrationOptions& m_options;
    Workload m_work;
    ZeroedArray<float> m_transformed {};
};

tl::unexpected<Error> unfitFor(const Scheme& scheme, std::string reason)
{
    return failure(ErrorCode::InvalidArgument, "scheme '" + scheme.toString() + "'", std::move(reason));
}

/// What of the calibration a scheme's algorithms need and do not find; empty: nothing.
std::string missingInputs(const Scheme& scheme, const LayerInputs& inputs)
{
    const bool moments = !inputs.secondMoments.empty() && inputs.tokens > 0;
    for (const Algorithm algorithm : scheme.algorithms) {
        const std::string name = "algorithm " + std::string(nameOf(algorithm)) + " needs ";
        switch (algorithm) {
        case Algorithm::Gptq:
        case Algorithm::Cd:
        case Algorithm::AdaRound:
        case Algorithm::Imatrix:
        case Algorithm::Qat:
            if (!moments)
                return name + "the second moments of the inputs";
            break;
        case Algorithm::Smooth:
            if (inputs.absMax.empty())
                return name + "the largest size of each input";
            break;
        case Algorithm::BiasCorrection:
            if (inputs.mean.empty())
                return name + "the means of the inputs";
            break;
        default: break;
        }
    }
    return {};
}

}  // namespace

Result<CalibratedWeights> quantizeWithInputs(std::span<const float> weights, std::size_t rowCount, const Scheme& scheme,
    const LayerInputs& inputs, const CalibrationOptions& options, std::stop_token stop, const ProgressShare& progress)
{
    if (auto reason = algorithmRefusal(scheme, Calibration::Given); !reason.empty())
        return failure(ErrorCode::Unsupported, "scheme '" + scheme.toString() + "'", std::move(reason));
    if (auto checked = checkLayerInputs(inputs, stop); !checked)
        return tl::unexpected(checked.error());
    if (rowCount == 0 || weights.size() / rowCount != inputs.columns || weights.size() % rowCount != 0)
        return unfitFor(scheme,
            std::to_string(weights.size()) + " weights are not " + std::to_string(rowCount) + " rows of "
                + std::to_string(inputs.columns));
    if (const auto broken = std::find_if(weights.begin(), weights.end(), [](float w) { return !std::isfinite(w); });
        broken != weights.end()) {
        const auto at = static_cast<std::size_t>(broken - weights.begin());
        return unfitFor(scheme,
            "the weight in row " + std::to_string(at / inputs.columns) + ", column "
                + std::to_string(at % inputs.columns) + " is not finite: its error would reach the whole row");
    }
    if (auto missing = missingInputs(scheme, inputs); !missing.empty())
        return unfitFor(scheme, std::move(missing));
    auto quantizer = Quantizer::create(scheme, inputs.columns);
    if (!quantizer)
        return tl::unexpected(quantizer.error());
    return CalibratedLayer(
        std::move(*quantizer), weights, rowCount, inputs, options, {std::move(stop), progress, rowCount})
        .run();
}

}  // namespace quantloupe
