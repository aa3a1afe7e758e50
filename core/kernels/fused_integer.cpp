// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/fused_integer.h"

#include "core/kernels/ranges.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/fused_integer.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>
#include "core/kernels/integer_pass_inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {

// Weights that fit the second-level cache beside all else.
constexpr std::size_t mostFetchedAhead = 48 * blockLength;

// Fetches weights from memory between the stretches of several schemes, a share with each: one scheme alone asks for
// more at a time than can be on its way.
class Fetcher
{
public:
    // Of the weights [from, end).
    Fetcher(const float* rows, std::size_t from, std::size_t end, std::size_t schemes)
        : m_rows(rows)
        , m_from(from)
        , m_at(from)
        , m_end(end)
        , m_schemes(schemes)
    {
    }
    // When one of the schemes measures so many.
    void fetch(std::size_t measured)
    {
        m_measured += measured;
        const std::size_t due = HWY_MIN(m_end, m_from + m_measured / m_schemes);
        for (; m_at < due; m_at += lineLength)
            fetchLine<2>(m_rows + m_at);
    }

private:
    const float* m_rows;
    std::size_t m_from, m_at, m_end, m_schemes, m_measured = 0;
};

// A window is a part of a row that each scheme's stretches fill (0: one stretch, of the only scheme), pieces are what
// all units are made of. When one window is measured its ranges are known, and those of the next are, or are found
// beside; what comes then is fetched from memory.
void MeasureRows(const float* rows, std::size_t rowCount, std::size_t window, std::size_t piece,
    std::span<IntegerErrorJob* const> jobs)
{
    const std::size_t columns = jobs.front()->scheme->shape.columns, end = rowCount * columns;
    if (end == 0)
        return;
    std::vector<Pass> passes;
    passes.reserve(jobs.size());
    for (IntegerErrorJob* job : jobs)
        passes.emplace_back(*job, piece, jobs.size() == 1);
    const bool alone = window == 0 || (findsBeside && jobs.size() == 1);
    window = HWY_MIN(alone ? passes.front().stretch() : window, columns);
    // By the first scheme alone, whose last stretch of a window may be measured within the next one. What is found
    // beside was fetched two pages before: farther, and it has left the first-level cache again.
    constexpr std::size_t twoPages = 2'048;
    const bool beside = findsBeside && alone, atOnce = passes.front().stretch() > stretchLength;
    const std::size_t beyond = beside ? twoPages : passes.front().stretch();
    const std::size_t found = beside && atOnce ? window : 2 * window;
    // Where passes are slower, the first scheme's is slow enough to fetch for all.
    const bool fetchesBetween = findsBeside && !alone;
    Ahead ahead {.fetched = fetchesBetween ? 0 : HWY_MIN(found + beyond, mostFetchedAhead)};
    std::optional<Fetcher> fetcher;
    if (fetchesBetween)
        fetcher.emplace(rows, found + blockLength, end, passes.size());
    PieceRanges both[2] = {{window, piece}, {window, piece}};
    PieceRanges *now = &both[0], *next = &both[1];
    // While one is measured, the next one's grids are made: those are not needed as soon as they are there. Units
    // longer than a stretch are measured at once: there is little to wait for, and their weights would leave the cache.
    Stretch two[2];
    Stretch *ready = &two[0], *coming = &two[1];
    Pass* last = nullptr;  // whose stretch is ready
    now->begin(rows, window);
    now->findRest();
    for (std::size_t at = 0, row = 0, column = 0; at < end;) {
        const std::size_t count = HWY_MIN(window, columns - column);
        const std::size_t following = column + count == columns ? 0 : column + count;
        next->begin(rows + at + count, at + count < end ? HWY_MIN(window, columns - following) : 0);
        if (beside)
            ahead.ranges = next;
        else
            next->findRest();
        for (Pass& pass : passes)
            for (std::size_t begin = 0; begin < count;) {
                const IntegerRun run {rows + at + begin, row, column + begin, HWY_MIN(pass.stretch(), count - begin)};
                pass.take(run, *now, begin, *coming);
                begin += coming->run.count;
                if (fetcher)
                    fetcher->fetch(coming->run.count);
                if (last)
                    last->measure(*ready, last == passes.data() ? ahead : Ahead {});
                last = &pass;
                std::swap(ready, coming);
                if (pass.stretch() > stretchLength) {
                    pass.measure(*ready, last == passes.data() ? ahead : Ahead {});
                    last = nullptr;
                }
            }
        next->findRest();
        std::swap(now, next);
        at += count;
        row += following == 0 ? 1 : 0;
        column = following;
    }
    if (last)
        last->measure(*ready, last == passes.data() ? Ahead {.fetched = ahead.fetched} : Ahead {});
    for (Pass& pass : passes)
        pass.end();
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(MeasureRows);

namespace {

UnitGrid gridOfUnit(std::span<const float> unit, std::size_t row, std::size_t column, const IntegerScheme& scheme)
{
    if (scheme.rule == IntegerRule::Given)
        return scheme.shape.shared ? scheme.grids[0]
                                   : scheme.grids[row * scheme.shape.unitsPerRow() + column / scheme.shape.length];
    return integerGrid(scheme.rule, scheme.codes, rangeOfReference(unit));
}

}  // namespace

ErrorSums addCarefully(
    const IntegerRun& run, const IntegerScheme& scheme, const IntegerErrorProfile* profile, std::uint64_t& clipped)
{
    constexpr std::size_t length = 1'024;
    std::array<float, length> quantized, errors;
    std::array<float, length> ignored {};
    const auto& shape = scheme.shape;
    ErrorSums sums;
    for (std::size_t column = run.column; column < run.column + run.count;) {
        const std::size_t unitStart = column / shape.length * shape.length;
        const std::size_t unitEnd = std::min(unitStart + shape.length, shape.columns);
        const float* row = run.weights - run.column;
        const UnitGrid grid = gridOfUnit({row + unitStart, unitEnd - unitStart}, run.row, unitStart, scheme);
        const std::size_t count = std::min({length, unitEnd - column, run.column + run.count - column});
        const std::span<const float> weights(row + column, count);
        clipped += integerFakeQuantize(weights, {count, count, true}, {&grid, 1}, scheme.codes, quantized);
        const auto columns = profile ? profile->columnEnergies.subspan(column, count) : std::span(ignored).first(count);
        sums += errorProfile(weights, std::span(quantized).first(count), columns, std::span(errors).first(count));
        if (profile && profile->histogram)
            histogramFill(std::span(errors).first(count), profile->bins, *profile->histogram);
        column += count;
    }
    return sums;
}

void integerErrors(std::span<const float> rows, std::span<IntegerErrorJob> jobs)
{
    // Measured together is what shares ranges and still has its own stretches, blocks and lanes of sums: units of whole
    // pieces, whose vectors add to the same sums whatever their lengths (SignalLanes::turn()), that blocks are made of,
    // or that are made of blocks, or are whole rows.
    constexpr std::size_t block = 1'024, longestWindow = 16 * block, shortestPiece = 32;
    const auto measure = [&](std::span<IntegerErrorJob* const> set, std::size_t window, std::size_t piece) {
        const auto rowCount = set.front()->scheme->shape.rows(rows.size());
        HWY_DYNAMIC_DISPATCH(MeasureRows)(rows.data(), rowCount, window, piece, set);
    };
    std::vector<IntegerErrorJob*> together;
    std::size_t piece = 128;  // whose ranges are found fastest
    for (auto& job : jobs) {
        const auto& shape = job.scheme->shape;
        const auto length = shape.length;
        IntegerErrorJob* const alone = &job;
        const bool regular = length % shortestPiece == 0 && shape.columns % length == 0
            && (block % length == 0 || length % block == 0 || length == shape.columns);
        if (!regular || (shape.columns > longestWindow && longestWindow % length != 0)) {
            measure({&alone, 1}, 0, length);
            continue;
        }
        together.push_back(alone);
        while (length % piece != 0)
            piece /= 2;
    }
    if (!together.empty())
        measure(together, longestWindow, piece);
}

ErrorSums integerErrors(std::span<const float> rows, const IntegerScheme& scheme, const IntegerErrorProfile& profile,
    std::uint64_t& clipped)
{
    IntegerErrorJob job {.scheme = &scheme, .profile = profile};
    integerErrors(rows, {&job, 1});
    clipped += job.clipped;
    return job.sums;
}

ErrorSums integerErrorsReference(std::span<const float> rows, const IntegerScheme& scheme,
    const IntegerErrorProfile& profile, std::uint64_t& clipped)
{
    const auto& shape = scheme.shape;
    std::vector<float> quantized(shape.columns), errors(shape.columns);
    ErrorSums total;
    for (std::size_t row = 0; row < shape.rows(rows.size()); ++row) {
        const auto weights = rows.subspan(row * shape.columns, shape.columns);
        for (std::size_t start = 0; start < shape.columns; start += shape.length) {
            const auto unit = weights.subspan(start, std::min(shape.length, shape.columns - start));
            const UnitGrid grid = gridOfUnit(unit, row, start, scheme);
            clipped += integerFakeQuantizeReference(unit, {unit.size(), unit.size(), true}, {&grid, 1}, scheme.codes,
                std::span(quantized).subspan(start, unit.size()));
        }
        for (std::size_t i = 0; i < shape.columns; ++i) {
            errors[i] = std::isfinite(weights[i]) ? weights[i] - quantized[i] : std::numeric_limits<float>::quiet_NaN();
            profile.columnEnergies[i] += std::isfinite(weights[i]) ? errors[i] * errors[i] : 0.0F;
        }
        if (profile.histogram)
            histogramFillReference(errors, profile.bins, *profile.histogram);
        const ErrorSums sums = errorSumsReference(weights, quantized);
        profile.rowEnergies[row] = static_cast<float>(sums.errorEnergy);
        total += sums;
    }
    return total;
}

}  // namespace quantloupe::kernels
#endif
