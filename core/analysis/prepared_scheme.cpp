// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/prepared_scheme.h"

#include "core/algorithms/bias_correction.h"
#include "core/analysis/measure.h"
#include "core/analysis/whole_tensor_passes.h"
#include "core/kernels/error_sums.h"
#include "core/schemes/format_traits.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

namespace quantloupe {

namespace {

constexpr std::size_t stepWeights = 4'096;
constexpr std::size_t rangeRows = 16;

/// R from a sample of rows: 1.25 × the largest error seen, but no more than the worst case. Where the sample shows no
/// error at all the worst case stands.
double chooseErrorRange(const PreparedScheme& scheme, const RowSample& sample, double absMax)
{
    QuantizerScratch scratch;
    const auto columns = scheme.quantizer.columns();
    // Behind a transform no bound holds but the sample's.
    const double worst =
        scheme.keepsLevels() ? scheme.quantizer.worstCaseError(absMax) : std::numeric_limits<double>::infinity();
    double largest = 0.0;
    for (std::size_t r = 0; r < sample.rows.size(); ++r) {
        const auto row = std::span(sample.weights).subspan(r * columns, columns);
        scheme.quantize(sample.rows[r], row, 1, scratch);
        largest = std::max(largest, kernels::errorSums(row, std::span(scratch.quantized).first(columns)).maxAbsError);
    }
    double range = 1.25 * largest;
    if (largest == 0.0)
        range = std::isfinite(worst) ? worst : 0.0;
    else if (worst >= largest)  // clipping ranges may exceed what is called the worst case
        range = std::min(range, worst);
    // Histograms are counted against floats.
    return static_cast<double>(std::min(static_cast<float>(range), std::numeric_limits<float>::max()));
}

/// How the fused kernel finds the grids of a scheme: by itself only where it does so exactly as the format does.
kernels::IntegerRule ruleOf(const Quantizer& quantizer)
{
    const auto& scheme = quantizer.scheme();
    const bool plainScales = scheme.scales == ScaleStorage::Float32 || scheme.scales == ScaleStorage::Float16;
    if (quantizer.wholeTensor() || scheme.range.kind != RangeEstimator::Kind::MinMax || !plainScales
        || uses(scheme, Algorithm::Hqq))
        return kernels::IntegerRule::Given;
    switch (scheme.symmetry) {
    case Symmetry::Symmetric: return kernels::IntegerRule::Symmetric;
    case Symmetry::SymmetricFull: return kernels::IntegerRule::SymmetricFull;
    case Symmetry::Asymmetric: return kernels::IntegerRule::Asymmetric;
    case Symmetry::AsymmetricFloat: return kernels::IntegerRule::AsymmetricFloat;
    }
    return kernels::IntegerRule::Given;
}

/// What the fused kernel is to do for a scheme; nothing where it cannot.
std::optional<kernels::IntegerScheme> fusedIntegers(const PreparedScheme& ready)
{
    const auto& quantizer = ready.quantizer;
    const auto& scheme = quantizer.scheme();
    if (!isInteger(scheme.format) || !ready.keepsLevels() || quantizer.rowsPerUnit() > 1)
        return {};
    const auto bits = static_cast<unsigned>(codeBits(scheme.format));
    return kernels::IntegerScheme {
        .shape = {quantizer.columns(), quantizer.unitLength(), quantizer.wholeTensor()},
        .codes = {.lowest = scheme.symmetry == Symmetry::Symmetric ? 1.0F : 0.0F,
            .highest = static_cast<float>((1U << bits) - 1U),
            .floatingMinimum = scheme.symmetry == Symmetry::AsymmetricFloat},
        .rule = ruleOf(quantizer),
    };
}

bool needsAllGrids(const Scheme& scheme)
{
    return scheme.granularity.kind == Granularity::Kind::Block || scheme.scales == ScaleStorage::Double8;
}

/// Hands over what errors in each column matter, where that can be made use of.
void weigh(PreparedScheme& ready, const ModelTensor& tensor)
{
    ready.importance = importanceUsed(tensor, ready.quantizer.scheme());
    if (ready.importance == 0)
        return;
    const auto& values = tensor.importance->values;
    const auto slices = tensor.importance->slices;
    const auto columns = ready.quantizer.columns();
    const auto rows = matrixShape(tensor.view).rows;
    assert(values.size() == slices * columns && (slices == 1 || (slices != 0 && rows % slices == 0)));
    std::vector<double> sums(columns);
    for (std::uint64_t slice = 0; slice < slices; ++slice) {
        const auto own = std::span(values).subspan(static_cast<std::size_t>(slice) * columns, columns);
        std::transform(sums.begin(), sums.end(), own.begin(), sums.begin(),
            [](double sum, float value) { return sum + static_cast<double>(value); });
        if (slices > 1)
            ready.slices.emplace_back(ready.quantizer).setImportance({own.begin(), own.end()});
    }
    std::vector<float> means(columns);
    std::transform(sums.begin(), sums.end(), means.begin(),
        [count = static_cast<double>(slices)](double sum) { return static_cast<float>(sum / count); });
    ready.quantizer.setImportance(std::move(means));
    ready.rowsPerSlice = slices > 1 ? rows / slices : 0;
}

Result<PreparedScheme> prepareScheme(const ModelTensor& tensor, const WeightStatistics& weights, const Scheme& scheme,
    const Model* model, std::stop_token stop)
{
    const bool known = tensor.inputs != nullptr;
    const auto calibration = model ? calibrationOf(*model) : Calibration::Absent;
    if (auto built = requireBuilt(scheme, known ? Calibration::Given : calibration); !built)
        return tl::unexpected(built.error());
    auto quantizer = Quantizer::create(scheme, static_cast<std::size_t>(matrixShape(tensor.view).columns));
    if (!quantizer)
        return tl::unexpected(quantizer.error());
    if (known && needsInputs(scheme))
        return PreparedScheme {.quantizer = std::move(*quantizer)};
    auto transform = makeTransform(tensor, weights, scheme, model, std::move(stop));
    if (!transform)
        return tl::unexpected(transform.error());
    PreparedScheme ready {.quantizer = std::move(*quantizer),
        .transform = std::move(*transform),
        .correctsChannels = uses(scheme, Algorithm::BiasCorrection)};
    ready.integers = fusedIntegers(ready);
    weigh(ready, tensor);
    return ready;
}

/// Carries out the schemes that need the tensor's inputs. Each takes far longer than a pass: they share the bar but for
/// its end.
Result<void> calibrateSchemes(
    const ModelTensor& tensor, std::span<PreparedScheme> schemes, const std::stop_token& stop, ProgressShare& progress)
{
    const auto isOne = [&](const PreparedScheme& scheme) {
        return tensor.inputs && needsInputs(scheme.quantizer.scheme());
    };
    auto left = std::count_if(schemes.begin(), schemes.end(), isOne);
    if (left == 0)
        return {};
    constexpr double most = 0.9;
    auto [remaining, rest] = progress.split(most);
    progress = rest;
    for (auto& scheme : schemes) {
        if (!isOne(scheme))
            continue;
        const auto [share, after] = remaining.split(1.0 / static_cast<double>(left--));
        remaining = after;
        auto calibrated = calibrateTensor(tensor, scheme.quantizer, stop, share);
        if (!calibrated)
            return tl::unexpected(calibrated.error());
        scheme.calibrated = std::move(*calibrated);
    }
    return {};
}

}  // namespace

template<class Each>
void PreparedScheme::forEachSlice(std::uint64_t firstRow, std::size_t rowCount, const Each& each) const
{
    if (slices.empty())
        return each(quantizer, std::size_t {0}, rowCount);
    for (std::size_t row = 0; row < rowCount;) {
        const auto slice = (firstRow + row) / rowsPerSlice;
        const auto count =
            std::min(rowCount - row, static_cast<std::size_t>((slice + 1) * rowsPerSlice - (firstRow + row)));
        each(slices[static_cast<std::size_t>(slice)], row, count);
        row += count;
    }
}

/// Of those of the whole tensor.
void PreparedScheme::takeGrids(
    const std::vector<UnitGrid>& all, std::uint64_t firstRow, std::size_t rowCount, QuantizerScratch& scratch) const
{
    if (quantizer.wholeTensor()) {
        scratch.rowInBand = 0;
        scratch.grids.assign(1, all.front());
        return;
    }
    scratch.rowInBand = static_cast<std::size_t>(firstRow % quantizer.rowsPerUnit());
    const auto firstBand = static_cast<std::size_t>(firstRow / quantizer.rowsPerUnit());
    const auto own =
        std::span(all).subspan(firstBand * quantizer.unitsPerRow(), quantizer.gridCount(scratch.rowInBand + rowCount));
    scratch.grids.assign(own.begin(), own.end());
}

void PreparedScheme::chooseGrids(std::uint64_t firstRow, std::size_t rowCount, QuantizerScratch& scratch) const
{
    scratch.rowInBand = 0;
    if (grids)
        return takeGrids(*grids, firstRow, rowCount, scratch);
    scratch.grids.resize(quantizer.gridCount(rowCount));
    const auto& tile = scratch.tile;
    if (tile.owner == this && firstRow >= tile.firstRow && firstRow + rowCount <= tile.firstRow + tile.rowCount) {
        const auto before = static_cast<std::size_t>(firstRow - tile.firstRow) * quantizer.unitsPerRow();
        std::copy_n(
            tile.grids.begin() + static_cast<std::ptrdiff_t>(before), scratch.grids.size(), scratch.grids.begin());
        return;
    }
    if (halfQuadratic)
        halfQuadratic->fit(scratch.source, scratch.grids);
    else
        forEachSlice(firstRow, rowCount, [&](const Quantizer& own, std::size_t row, std::size_t count) {
            own.fit(scratch.source.subspan(row * own.columns(), count * own.columns()), count,
                std::span(scratch.grids).subspan(own.gridCount(row), own.gridCount(count)));
        });
}

std::optional<ErrorAccumulator::IntegerPart> PreparedScheme::integerPart(
    ErrorAccumulator& errors, const RowTile& tile, std::span<float> rowErrorEnergy, QuantizerScratch& scratch) const
{
    if (!integers || !errors.takesIntegers())
        return std::nullopt;
    ErrorAccumulator::IntegerPart part {.errors = &errors,
        .scheme = *integers,
        .rowErrorEnergy = rowErrorEnergy.subspan(static_cast<std::size_t>(tile.firstRow), tile.rowCount)};
    if (givesGrids()) {
        scratch.source = tile.weights;
        scratch.tile.owner = nullptr;
        chooseGrids(tile.firstRow, tile.rowCount, scratch);
        part.scheme.grids = scratch.grids;
        if (!grids)
            scratch.tile = {this, tile.firstRow, tile.rowCount, scratch.grids};
    }
    return part;
}

std::uint64_t PreparedScheme::quantize(
    std::uint64_t firstRow, std::span<const float> rows, std::size_t rowCount, QuantizerScratch& scratch) const
{
    if (calibrated)
        return quantizeCalibrated(firstRow, rows, rowCount, scratch);
    const auto columns = quantizer.columns();
    scratch.source = transform.apply(rows, firstRow, columns, scratch.transform);
    scratch.quantized.resize(rows.size());
    chooseGrids(firstRow, rowCount, scratch);
    std::uint64_t clipped = 0;
    if (quantizer.hasGrids()) {
        clipped = quantizer.fakeQuantize(scratch.source, rowCount, scratch.grids, scratch.quantized, scratch.rowInBand);
    } else {
        scratch.packed.resize(rowCount * quantizer.packedRowBytes());
        pack(firstRow, scratch.source, rowCount, scratch.packed);
        quantizer.unpack(scratch.packed, rowCount, scratch.quantized);
    }
    if (!transform.isIdentity())
        transform.undo(scratch.quantized, firstRow, columns, scratch.transform);
    if (correctsChannels)
        for (std::size_t row = 0; row < rowCount; ++row) {
            const auto quantized = std::span(scratch.quantized).subspan(row * columns, columns);
            applyCorrection(channelCorrection(rows.subspan(row * columns, columns), quantized), quantized);
        }
    return clipped;
}

/// What was found for these rows; only what is clipped is counted now.
std::uint64_t PreparedScheme::quantizeCalibrated(
    std::uint64_t firstRow, std::span<const float> rows, std::size_t rowCount, QuantizerScratch& scratch) const
{
    const auto columns = quantizer.columns();
    scratch.source = calibrated->source(rows, firstRow, columns, scratch.transform, scratch.transformed);
    scratch.quantized.resize(rows.size());
    std::uint64_t clipped = 0;
    if (quantizer.hasGrids()) {
        takeGrids(calibrated->grids, firstRow, rowCount, scratch);
        clipped = quantizer.fakeQuantize(scratch.source, rowCount, scratch.grids, scratch.quantized, scratch.rowInBand);
    }
    const auto found =
        std::span(calibrated->weights).subspan(static_cast<std::size_t>(firstRow) * columns, rows.size());
    std::copy(found.begin(), found.end(), scratch.quantized.begin());
    return clipped;
}

void PreparedScheme::encode(
    std::uint64_t firstRow, std::size_t rowCount, std::span<std::uint32_t> codes, const QuantizerScratch& scratch) const
{
    if (calibrated) {
        const auto found = std::span(calibrated->codes)
                               .subspan(static_cast<std::size_t>(firstRow) * quantizer.columns(), codes.size());
        std::copy(found.begin(), found.end(), codes.begin());
        return;
    }
    if (quantizer.hasGrids())
        return quantizer.encode(scratch.source, rowCount, scratch.grids, codes, scratch.rowInBand);
    quantizer.readCodes(scratch.packed, rowCount, codes);
}

void PreparedScheme::pack(
    std::uint64_t firstRow, std::span<const float> rows, std::size_t rowCount, std::span<std::byte> bytes) const
{
    const auto columns = quantizer.columns(), rowBytes = quantizer.packedRowBytes();
    forEachSlice(firstRow, rowCount, [&](const Quantizer& own, std::size_t row, std::size_t count) {
        own.pack(rows.subspan(row * columns, count * columns), count, bytes.subspan(row * rowBytes, count * rowBytes));
    });
}

std::size_t rowsPerStep(std::size_t columns)
{
    return std::max<std::size_t>(1, stepWeights / std::max<std::size_t>(1, columns));
}

Result<std::vector<PreparedScheme>> prepareSchemes(const ModelTensor& tensor, const WeightStatistics& weights,
    std::span<const Scheme> schemes, const Model* model, std::stop_token stop, ProgressShare& progress)
{
    std::vector<PreparedScheme> prepared;
    for (const auto& scheme : schemes) {
        auto ready = prepareScheme(tensor, weights, scheme, model, stop);
        if (!ready)
            return tl::unexpected(ready.error());
        prepared.push_back(std::move(*ready));
    }
    if (auto done = calibrateSchemes(tensor, prepared, stop, progress); !done)
        return tl::unexpected(done.error());
    std::vector<PreparedScheme*> whole;
    std::vector<TensorRange> ranges;
    for (auto& scheme : prepared) {
        if (scheme.calibrated)
            continue;
        const auto range = rangeBehind(tensor, weights, scheme, stop, progress);
        if (!range)
            return tl::unexpected(range.error());
        scheme.quantizer.setTensorAbsMax(range->absMax());
        for (auto& slice : scheme.slices)
            slice.setTensorAbsMax(range->absMax());
        if (scheme.quantizer.wholeTensor()) {
            whole.push_back(&scheme);
            ranges.push_back(*range);
        }
    }
    if (auto done = searchTensorGrids(tensor, whole, ranges, stop, progress); !done)
        return tl::unexpected(done.error());
    for (auto& scheme : prepared) {
        if (scheme.calibrated)
            continue;
        const auto& wanted = scheme.quantizer.scheme();
        if (!scheme.grids && needsAllGrids(wanted))
            if (auto done = fitAllGrids(tensor, scheme, stop, progress); !done)
                return tl::unexpected(done.error());
        if (uses(wanted, Algorithm::Hqq))
            if (auto done = searchHalfQuadratic(tensor, scheme, stop, progress); !done)
                return tl::unexpected(done.error());
    }

    const auto sample = sampleRows(tensor, rangeRows);
    for (auto& scheme : prepared)
        scheme.errorRange = chooseErrorRange(scheme, sample, weights.absMax);
    return prepared;
}

}  // namespace quantloupe
