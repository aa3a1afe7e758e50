// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/prepared_scheme.h"

#include "core/analysis/measure.h"
#include "core/analysis/row_tiles.h"
#include "core/number_formats/tensor_range_search.h"
#include "core/schemes/format_traits.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace quantloupe {

namespace {

constexpr std::size_t stepWeights = 4'096;
constexpr std::size_t rangeRows = 16;

/// The partial sums of several searches that share a pass.
struct SearchPartials {
    std::vector<TensorRangeSearch::Partial> partials;

    SearchPartials& operator+=(const SearchPartials& other)
    {
        for (std::size_t i = 0; i < partials.size(); ++i)
            partials[i] += other.partials[i];
        return *this;
    }
};

Result<void> searchRanges(
    const ModelTensor& tensor, std::vector<TensorRangeSearch>& searches, std::stop_token stop, ProgressShare& progress)
{
    for (;;) {
        std::vector<TensorRangeSearch*> open;
        for (auto& search : searches)
            if (search.needsPass())
                open.push_back(&search);
        if (open.empty())
            return {};
        // How many passes will follow is not known: each takes half of what is left of the bar.
        const auto [share, rest] = progress.split(0.5);
        progress = rest;
        auto totals = reduceTiles<SearchPartials>(
            tensor, stop, share,
            [&] {
                SearchPartials empty;
                for (const auto* search : open)
                    empty.partials.push_back(search->emptyPartial());
                return empty;
            },
            [&](SearchPartials& sums, const RowTile& tile) {
                for (std::size_t i = 0; i < open.size(); ++i)
                    open[i]->add(sums.partials[i], tile.weights);
            });
        if (!totals)
            return tl::unexpected(totals.error());
        for (std::size_t i = 0; i < open.size(); ++i)
            open[i]->finishPass(totals->partials[i]);
    }
}

/// R from a sample of rows: 1.25 × the largest error seen, but no more than the worst case. Where the sample shows no
/// error at all the worst case stands.
double chooseErrorRange(const PreparedScheme& scheme, std::span<const float> sample, double absMax)
{
    QuantizerScratch scratch;
    const auto columns = scheme.quantizer.columns();
    const double worst = scheme.quantizer.worstCaseError(absMax);
    double largest = 0.0;
    for (std::size_t first = 0; first < sample.size(); first += columns) {
        const auto row = sample.subspan(first, columns);
        scheme.quantize(row, 1, scratch);
        for (std::size_t i = 0; i < columns; ++i)
            if (std::isfinite(row[i]))
                largest = std::max(largest, static_cast<double>(std::abs(row[i] - scratch.quantized[i])));
    }
    double range = 1.25 * largest;
    if (largest == 0.0)
        range = std::isfinite(worst) ? worst : 0.0;
    else if (worst >= largest)  // clipping ranges may exceed what is called the worst case
        range = std::min(range, worst);
    // Histograms are counted against floats.
    return static_cast<double>(std::min(static_cast<float>(range), std::numeric_limits<float>::max()));
}

/// What the fused kernel is to do for a scheme; nothing where it cannot.
std::optional<kernels::IntegerScheme> integersOf(const Quantizer& quantizer)
{
    const auto& scheme = quantizer.scheme();
    if (traitsOf(scheme.format).family != FormatFamily::Integer)
        return {};
    const auto rule = [&] {
        if (quantizer.wholeTensor() || scheme.range.kind != RangeEstimator::Kind::MinMax)
            return kernels::IntegerRule::Given;
        switch (scheme.symmetry) {
        case Symmetry::Symmetric: return kernels::IntegerRule::Symmetric;
        case Symmetry::SymmetricFull: return kernels::IntegerRule::SymmetricFull;
        case Symmetry::Asymmetric: return kernels::IntegerRule::Asymmetric;
        case Symmetry::AsymmetricFloat: return kernels::IntegerRule::AsymmetricFloat;
        }
        return kernels::IntegerRule::Given;
    }();
    const auto bits = static_cast<unsigned>(codeBits(scheme.format));
    return kernels::IntegerScheme {
        .shape = {quantizer.columns(), quantizer.unitLength(), quantizer.wholeTensor()},
        .codes = {.lowest = scheme.symmetry == Symmetry::Symmetric ? 1.0F : 0.0F,
            .highest = static_cast<float>((1U << bits) - 1U),
            .floatingMinimum = scheme.symmetry == Symmetry::AsymmetricFloat},
        .rule = rule,
    };
}

}  // namespace

bool PreparedScheme::addFused(
    ErrorAccumulator& errors, const RowTile& tile, std::span<float> rowErrorEnergy, QuantizerScratch& scratch) const
{
    if (!integers || !errors.takesIntegers())
        return false;
    auto scheme = *integers;
    if (scheme.shape.shared) {
        scheme.grids = {&tensorGrid, 1};
    } else if (scheme.rule == kernels::IntegerRule::Given) {
        scratch.grids.resize(quantizer.gridCount(tile.rowCount));
        quantizer.fit(tile.weights, tile.rowCount, scratch.grids);
        scheme.grids = scratch.grids;
    }
    if (!scratch.pairs)
        scratch.pairs.emplace();
    errors.addIntegers(tile.weights, scheme, *scratch.pairs,
        rowErrorEnergy.subspan(static_cast<std::size_t>(tile.firstRow), tile.rowCount));
    return true;
}

std::uint64_t PreparedScheme::quantize(
    std::span<const float> rows, std::size_t rowCount, QuantizerScratch& scratch) const
{
    scratch.grids.resize(quantizer.gridCount(rowCount));
    scratch.quantized.resize(rows.size());
    if (quantizer.wholeTensor())
        scratch.grids.front() = tensorGrid;
    else
        quantizer.fit(rows, rowCount, scratch.grids);
    return quantizer.fakeQuantize(rows, rowCount, scratch.grids, scratch.quantized);
}

std::size_t rowsPerStep(std::size_t columns)
{
    return std::max<std::size_t>(1, stepWeights / std::max<std::size_t>(1, columns));
}

Result<std::vector<PreparedScheme>> prepareSchemes(const ModelTensor& tensor, const WeightStatistics& weights,
    std::span<const Scheme> schemes, std::stop_token stop, ProgressShare& progress)
{
    const auto columns = static_cast<std::size_t>(matrixShape(tensor.view).columns);
    std::vector<PreparedScheme> prepared;
    std::vector<TensorRangeSearch> searches;
    std::vector<std::size_t> searched;
    for (const auto& scheme : schemes) {
        auto quantizer = Quantizer::create(scheme, columns);
        if (!quantizer)
            return tl::unexpected(quantizer.error());
        if (quantizer->wholeTensor()) {
            searches.emplace_back(*quantizer, static_cast<float>(weights.minimum), static_cast<float>(weights.maximum),
                weights.moments.count);
            searched.push_back(prepared.size());
        }
        prepared.push_back({.quantizer = *quantizer, .integers = integersOf(*quantizer)});
    }
    if (auto done = searchRanges(tensor, searches, std::move(stop), progress); !done)
        return tl::unexpected(done.error());
    for (std::size_t i = 0; i < searched.size(); ++i)
        prepared[searched[i]].tensorGrid = searches[i].grid();

    const auto sample = sampleRows(tensor, rangeRows);
    for (auto& scheme : prepared)
        scheme.errorRange = chooseErrorRange(scheme, sample, weights.absMax);
    return prepared;
}

}  // namespace quantloupe
