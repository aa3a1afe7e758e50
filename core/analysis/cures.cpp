// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/cures.h"

#include "core/algorithms/combinations.h"
#include "core/analysis/cure_candidates.h"
#include "core/analysis/measure.h"
#include "core/analysis/spread_rows.h"
#include "core/schemes/format_traits.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <tuple>
#include <utility>

namespace quantloupe {

namespace {

constexpr std::uint64_t indexBytes = 4;       ///< names a channel that is kept wider
constexpr std::uint64_t fewestChannels = 10;  ///< of less, one is no small part

/// A tensor that owns its weights. Not to be moved: the view points into it.
struct OwnedTensor {
    std::vector<float> values {};
    ModelTensor tensor {};

    OwnedTensor(const ModelTensor& source, std::vector<float> weights, std::uint64_t columns)
        : values(std::move(weights))
    {
        tensor.name = source.name;
        tensor.parts = source.parts;
        tensor.view = {.dtype = DType::F32,
            .shape = {values.size() / std::max<std::uint64_t>(1, columns), columns},
            .bytes = std::as_bytes(std::span(values))};
    }
    OwnedTensor(const OwnedTensor&) = delete;
    OwnedTensor& operator=(const OwnedTensor&) = delete;
};

/// Empty when it would be all rows.
std::vector<std::uint64_t> rowsToSample(const MatrixShape& shape, std::uint64_t bandRows)
{
    if (shape.elements() <= mostCureWeights)
        return {};
    auto rows = spreadRows(shape, bandRows, mostCureWeights);
    if (rows.size() == shape.rows)
        rows.clear();
    return rows;
}

/// Indices of the largest values, ascending.
std::vector<std::uint64_t> largest(std::span<const float> values, std::size_t count)
{
    std::vector<std::uint64_t> order(values.size());
    std::iota(order.begin(), order.end(), std::uint64_t {0});
    const auto end = order.begin() + static_cast<std::ptrdiff_t>(std::min(count, order.size()));
    std::partial_sort(order.begin(), end, order.end(),
        [&](std::uint64_t a, std::uint64_t b) { return std::tie(values[b], a) < std::tie(values[a], b); });
    order.erase(end, order.end());
    std::sort(order.begin(), order.end());
    return order;
}

/// Sum of `most`, with the kept ones taken from `ofKept` instead.
double mixed(std::span<const float> most, std::span<const float> ofKept, std::span<const std::uint64_t> kept)
{
    double sum = 0.0;
    auto next = kept.begin();
    for (std::size_t i = 0; i < most.size(); ++i) {
        const bool isKept = next != kept.end() && *next == i;
        sum += static_cast<double>(isKept ? ofKept[i] : most[i]);
        next += isKept ? 1 : 0;
    }
    return sum;
}

/// The part of the progress that each of `steps` steps takes.
class Steps
{
public:
    Steps(const ProgressShare& whole, std::size_t steps)
        : m_rest(whole)
        , m_left(steps)
    {
    }
    ProgressShare next()
    {
        const auto [mine, rest] = m_rest.split(1.0 / static_cast<double>(std::max<std::size_t>(1, m_left)));
        m_rest = rest;
        m_left -= m_left > 0 ? 1 : 0;
        return mine;
    }
    void finish() const { m_rest.finish(); }

private:
    ProgressShare m_rest;
    std::size_t m_left;
};

/// One tensor, or some rows of it, under one scheme after the other.
struct Trial {
    const ModelTensor& tensor;  ///< what is measured
    const WeightStatistics& weights;
    const Model* model;
    std::stop_token stop;
    MatrixShape shape;                       ///< of the whole tensor
    std::span<const std::uint64_t> sampled;  ///< the rows measured; empty: all
    Scheme scheme;
    SchemeMeasurement before {};

    Result<SchemeMeasurement> measure(const Scheme& candidate, const ProgressShare& progress) const
    {
        return measureWith(tensor, weights, candidate, progress);
    }

    Result<SchemeMeasurement> measureWith(const ModelTensor& other, const WeightStatistics& otherWeights,
        const Scheme& candidate, const ProgressShare& progress) const
    {
        auto measured = measureSchemes(other, otherWeights, {&candidate, 1}, model, stop, progress);
        if (!measured)
            return tl::unexpected(measured.error());
        return std::move(measured->front());
    }

    std::uint64_t measuredRows() const { return sampled.empty() ? shape.rows : sampled.size(); }

    Cure cure(CureKind kind, const Scheme& after, double sqnrDb, std::uint64_t bytes) const
    {
        return {.kind = kind,
            .scheme = after,
            .sqnrBefore = before.error.sqnrDb(),
            .sqnrAfter = sqnrDb,
            .bytesBefore = scheme.storedBytes(shape),
            .bytesAfter = bytes,
            .measuredRows = measuredRows(),
            .rows = shape.rows,
            .weights = shape.elements()};
    }

    Cure cure(CureKind kind, const SchemeMeasurement& after) const
    {
        auto result = cure(kind, after.scheme, after.error.sqnrDb(), after.scheme.storedBytes(shape));
        if (before.outputError.known() && after.outputError.known())
            result.outputs = {
                -10.0 * std::log10(before.outputError.relative()), -10.0 * std::log10(after.outputError.relative())};
        return result;
    }

    Cure mixture(CureKind kind, double errorEnergy, std::uint64_t bytes, std::vector<std::uint64_t> kept) const
    {
        auto error = before.error;
        error.errorEnergy = errorEnergy;
        auto result = cure(kind, scheme, error.sqnrDb(), bytes);
        result.kept = std::move(kept);
        return result;
    }
};

/// The output channels with most error in int8 instead. Their neighbours keep their grids.
Result<std::optional<Cure>> tryWiderRows(const Trial& trial, Steps& steps)
{
    const auto progress = steps.next();
    if (trial.measuredRows() < fewestChannels || codeBits(trial.scheme.format) >= 8.0)
        return std::optional<Cure> {};
    const auto wider = Scheme::of(Format::Int8);
    const auto measured = trial.measure(wider, progress);
    if (!measured)
        return tl::unexpected(measured.error());
    const auto count = std::max<std::uint64_t>(1, trial.measuredRows() / 100);
    auto kept = largest(trial.before.rowErrorEnergy, static_cast<std::size_t>(count));
    const double energy = mixed(trial.before.rowErrorEnergy, measured->rowErrorEnergy, kept);
    // As large a part of all rows as of those measured.
    const auto all = (trial.shape.rows * count + trial.measuredRows() - 1) / trial.measuredRows();
    const auto bytes = trial.scheme.storedBytes({trial.shape.rows - all, trial.shape.columns})
        + wider.storedBytes({all, trial.shape.columns}) + all * indexBytes;
    if (!trial.sampled.empty())
        for (auto& row : kept)
            row = trial.sampled[static_cast<std::size_t>(row)];
    return trial.mixture(CureKind::WiderRows, energy, bytes, std::move(kept));
}

/// The input channels with the largest weights in fp16 beside, zero in the matrix that is quantized: LLM.int8()'s
/// decomposition (Dettmers et al. 2022), by the weights' size.
Result<std::optional<Cure>> tryWiderColumns(const Trial& trial, Steps& steps)
{
    const auto ofFloats = steps.next(), ofWeights = steps.next(), ofRest = steps.next();
    const auto columns = static_cast<std::size_t>(trial.shape.columns);
    if (columns < fewestChannels || traitsOf(trial.scheme.format).family == FormatFamily::Plain)
        return std::optional<Cure> {};
    const auto floats = trial.measure(Scheme::of(Format::Fp16), ofFloats);
    if (!floats)
        return tl::unexpected(floats.error());
    auto kept = largest(trial.weights.columnAbsMax, std::max<std::size_t>(1, columns / 100));
    std::vector<float> values(static_cast<std::size_t>(trial.measuredRows()) * columns);
    decodeRows(trial.tensor.view, 0, trial.measuredRows(), values);
    for (std::size_t row = 0; row < values.size(); row += columns)
        for (const auto column : kept)
            values[row + static_cast<std::size_t>(column)] = 0.0F;
    OwnedTensor rest(trial.tensor, std::move(values), columns);
    rest.tensor.importance = trial.tensor.importance;
    const auto weights = measureWeights(rest.tensor, trial.stop, ofWeights);
    if (!weights)
        return tl::unexpected(weights.error());
    const auto measured = trial.measureWith(rest.tensor, *weights, trial.scheme, ofRest);
    if (!measured)
        return tl::unexpected(measured.error());
    const double energy = mixed(measured->columnErrorEnergy, floats->columnErrorEnergy, kept);
    const auto bytes =
        trial.scheme.storedBytes(trial.shape) + kept.size() * (trial.shape.rows * sizeof(std::uint16_t) + indexBytes);
    return trial.mixture(CureKind::WiderColumns, energy, bytes, std::move(kept));
}

bool isOnOffer(const Cure& cure)
{
    return !cure.isMixture() && static_cast<double>(cure.bytesAfter) <= 1.25 * static_cast<double>(cure.bytesBefore);
}

/// Free gains, bought gains, the rest.
int placeOf(const Cure& cure)
{
    return !(cure.gain() > 0.0) ? 2 : cure.bytesAfter > cure.bytesBefore ? 1 : 0;
}

bool comesBefore(const Cure& a, const Cure& b)
{
    const int place = placeOf(a), other = placeOf(b);
    if (place != other)
        return place < other;
    const auto worth = [&](const Cure& cure) {
        return place == 1 ? cure.gain() / static_cast<double>(cure.bytesAfter - cure.bytesBefore) : cure.gain();
    };
    return worth(a) > worth(b);
}

Result<std::vector<Cure>> tryAll(const Trial& trial, std::span<const CureCandidate> candidates, Steps& steps)
{
    std::vector<Cure> cures;
    for (const auto& candidate : candidates) {
        const auto share = steps.next();
        const auto measured = trial.measure(candidate.scheme, share);
        if (!measured && measured.error().code == ErrorCode::Unsupported)
            continue;  // of this tensor: a width that has no rotation, blocks too large to hold
        if (!measured)
            return tl::unexpected(measured.error());
        cures.push_back(trial.cure(candidate.kind, *measured));
    }
    // A mixture is put together from copies of rows, which a partner's factors do not fit.
    if (!uses(trial.scheme, Algorithm::Equalization))
        for (const auto tryOne : {tryWiderRows, tryWiderColumns}) {
            auto cure = tryOne(trial, steps);
            if (!cure)
                return tl::unexpected(cure.error());
            if (*cure)
                cures.push_back(std::move(**cure));
        }
    // Where a sum overflows there is no figure to compare by.
    std::erase_if(cures, [](const Cure& cure) { return std::isnan(cure.sqnrAfter) || std::isnan(cure.gain()); });
    std::stable_sort(cures.begin(), cures.end(), comesBefore);
    return cures;
}

}  // namespace

Result<std::vector<Cure>> tryCures(const ModelTensor& tensor, const WeightStatistics& weights, const Scheme& scheme,
    const Model* model, std::stop_token stop, Progress& progress)
{
    const auto held = holdReadable(tensor, stop);
    if (!held)
        return tl::unexpected(held.error());
    const auto shape = matrixShape(tensor.view);
    const auto candidates = cureCandidates(scheme, shape, tensor.inputs ? Calibration::Given : Calibration::Absent);
    constexpr std::size_t others = 6;  // the weights, the scheme itself and the passes of both mixtures
    Steps steps(ProgressShare(progress, tensor.bytes()), candidates.size() + others);

    const bool equalizes = uses(scheme, Algorithm::Equalization);
    const std::uint64_t bandRows = scheme.granularity.kind == Granularity::Kind::Block ? scheme.granularity.rows : 1;
    const auto sampled = equalizes ? std::vector<std::uint64_t> {} : rowsToSample(shape, bandRows);
    std::optional<OwnedTensor> sample;
    std::optional<WeightStatistics> sampleWeights;
    const auto forWeights = steps.next();
    if (!sampled.empty()) {
        const auto columns = static_cast<std::size_t>(shape.columns);
        std::vector<float> values(sampled.size() * columns);
        for (std::size_t i = 0; i < sampled.size(); ++i)
            decodeRows(tensor.view, sampled[i], 1, std::span(values).subspan(i * columns, columns));
        sample.emplace(tensor, std::move(values), shape.columns);
        sample->tensor.importance = importanceOfRows(tensor.importance, shape.rows, sampled);
        // All rows of a layer read the same inputs; those of a stack of experts do not.
        if (tensor.inputs && tensor.inputs->slices == 1)
            sample->tensor.inputs = tensor.inputs;
        auto measured = measureWeights(sample->tensor, stop, forWeights);
        if (!measured)
            return tl::unexpected(measured.error());
        sampleWeights = std::move(*measured);
    }
    Trial trial {.tensor = sample ? sample->tensor : tensor,
        .weights = sampleWeights ? *sampleWeights : weights,
        .model = equalizes ? model : nullptr,
        .stop = stop,
        .shape = shape,
        .sampled = sampled,
        .scheme = scheme};
    auto before = trial.measure(scheme, steps.next());
    if (!before)
        return tl::unexpected(before.error());
    trial.before = std::move(*before);
    // Lossless, or without a signal.
    if (!std::isfinite(trial.before.error.sqnrDb())) {
        steps.finish();
        return std::vector<Cure> {};
    }
    auto cures = tryAll(trial, candidates, steps);
    if (cures)
        steps.finish();
    return cures;
}

const Cure* cureToSuggest(std::span<const Cure> cures)
{
    // What a bit is worth everywhere: half of the step, 20·log10(2).
    constexpr double decibelsPerBit = 6.02;
    const Cure* best = nullptr;
    double most = 0.0;
    for (const auto& cure : cures) {
        const double net = cure.gain() - decibelsPerBit * std::max(0.0, cure.addedBits());
        if (isOnOffer(cure) && net >= 1.0 && net > most) {
            best = &cure;
            most = net;
        }
    }
    if (best != nullptr)
        return best;
    const auto bought = std::find_if(
        cures.begin(), cures.end(), [](const Cure& cure) { return isOnOffer(cure) && cure.gain() >= 3.0; });
    return bought == cures.end() ? nullptr : &*bought;
}

}  // namespace quantloupe
