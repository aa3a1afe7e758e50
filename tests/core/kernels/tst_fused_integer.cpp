// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/fused_integer.h"
#include "core/kernels/ranges.h"
#include "tests/support/kernel_sweep.h"

#include <array>
#include <memory>

using namespace quantloupe;
using namespace quantloupe::tests;
using kernels::ErrorSums;
using kernels::IntegerRule;

namespace {

constexpr std::size_t rowCount = 11;

struct Case {
    const char* name;
    IntegerRule rule;
    int bits;
};
constexpr Case cases[] = {{"sym 4", IntegerRule::Symmetric, 4}, {"sym 8", IntegerRule::Symmetric, 8},
    {"sym 2", IntegerRule::Symmetric, 2}, {"sym 16", IntegerRule::Symmetric, 16},
    {"symf 4", IntegerRule::SymmetricFull, 4}, {"symf 8", IntegerRule::SymmetricFull, 8},
    {"asym 8", IntegerRule::Asymmetric, 8}, {"asym 2", IntegerRule::Asymmetric, 2},
    {"asymf 4", IntegerRule::AsymmetricFloat, 4}, {"asymf 16", IntegerRule::AsymmetricFloat, 16}};

kernels::IntegerScheme schemeOf(const Case& of, std::size_t columns, std::size_t length)
{
    return {.shape = {columns, std::max<std::size_t>(1, length), false},
        .codes = {of.rule == IntegerRule::Symmetric ? 1.0F : 0.0F, float((1U << unsigned(of.bits)) - 1U),
            of.rule == IntegerRule::AsymmetricFloat},
        .rule = of.rule};
}

struct Outcome {
    ErrorSums sums;
    std::uint64_t clipped = 0;
    std::vector<float> rows, columns;
    std::vector<std::uint64_t> counts = std::vector<std::uint64_t>(256);
    std::uint64_t below = 0, above = 0;
};

using Kernel = ErrorSums (*)(
    std::span<const float>, const kernels::IntegerScheme&, const kernels::IntegerErrorProfile&, std::uint64_t&);

Outcome run(Kernel kernel, std::span<const float> weights, const kernels::IntegerScheme& scheme, float range)
{
    Outcome outcome;
    outcome.rows.resize(scheme.shape.rows(weights.size()));
    outcome.columns.resize(scheme.shape.columns);
    const auto tables = std::make_unique<kernels::HistogramTables>();
    const kernels::HistogramBins bins {-range, range, 256};
    const bool counting = range > 0.0F;
    outcome.sums = kernel(
        weights, scheme, {outcome.rows, outcome.columns, counting ? tables.get() : nullptr, bins}, outcome.clipped);
    kernels::HistogramTotals totals {.counts = outcome.counts};
    kernels::histogramFold(*tables, bins, totals);
    outcome.below = totals.below;
    outcome.above = totals.above;
    return outcome;
}

// Relative to the sizes of the terms: float lanes of up to 1,024 (scalar target).
bool close(double actual, double expected, double sizes)
{
    return actual == expected || std::abs(actual - expected) <= 0x1p-24 * (1024 + 16) * sizes;
}

bool agree(const Outcome& a, const Outcome& b, std::size_t rows)
{
    const auto& x = a.sums;
    const auto& y = b.sums;
    const double sizes = y.signalEnergy + y.quantizedEnergy + y.errorEnergy;
    if (x.count != y.count || a.clipped != b.clipped || x.maxAbsError != y.maxAbsError || a.counts != b.counts
        || a.below != b.below || a.above != b.above || !close(x.signalEnergy, y.signalEnergy, y.signalEnergy)
        || !close(x.quantizedEnergy, y.quantizedEnergy, y.quantizedEnergy)
        || !close(x.errorEnergy, y.errorEnergy, y.errorEnergy) || !close(x.dotProduct, y.dotProduct, sizes)
        || !close(x.errorSum, y.errorSum, std::sqrt(double(y.count) * y.errorEnergy)))
        return false;
    for (std::size_t i = 0; i < a.rows.size(); ++i)
        if (!close(double(a.rows[i]), double(b.rows[i]), double(b.rows[i]) + 1e-44))
            return false;
    for (std::size_t i = 0; i < a.columns.size(); ++i)
        if (std::abs(a.columns[i] - b.columns[i]) > 0x1p-23F * float(rows) * b.columns[i])
            return false;
    return true;
}

bool isSame(const Outcome& a, const Outcome& b)
{
    const auto& x = a.sums;
    const auto& y = b.sums;
    return x.count == y.count && x.signalEnergy == y.signalEnergy && x.quantizedEnergy == y.quantizedEnergy
        && x.errorEnergy == y.errorEnergy && x.dotProduct == y.dotProduct && x.errorSum == y.errorSum
        && x.maxAbsError == y.maxAbsError && a.clipped == b.clipped && a.counts == b.counts && a.below == b.below
        && a.above == b.above && a.rows == b.rows && a.columns == b.columns;
}

// Weights on and beside the middles between two steps of a grid.
void putTies(std::span<float> weights, const UnitGrid& grid, const kernels::IntegerCodes& codes)
{
    for (std::size_t i = 2; i < weights.size(); ++i) {
        const float code = codes.lowest + float(i % std::size_t(codes.highest - codes.lowest)) + 0.5F;
        const float tie = codes.floatingMinimum ? code * grid.scale + grid.zero : (code - grid.zero) * grid.scale;
        weights[i] = i % 3 == 0 ? tie : std::nextafter(tie, i % 3 == 1 ? HUGE_VALF : -HUGE_VALF);
    }
}

// All at once, each alone, and by the reference; every second one with a histogram, the first or the one after it.
void measureTogether(
    std::span<const float> weights, std::span<const kernels::IntegerScheme> schemes, std::size_t counted)
{
    constexpr float range = 0.1F;
    const kernels::HistogramBins bins {-range, range, 256};
    std::vector<Outcome> outcomes(schemes.size());
    std::vector<kernels::HistogramTables> tables(schemes.size());
    std::vector<kernels::IntegerErrorJob> jobs;
    for (std::size_t i = 0; i < schemes.size(); ++i) {
        outcomes[i].rows.resize(rowCount);
        outcomes[i].columns.resize(schemes[i].shape.columns);
        jobs.push_back({.scheme = &schemes[i],
            .profile = {outcomes[i].rows, outcomes[i].columns, i % 2 == counted ? &tables[i] : nullptr, bins}});
    }
    kernels::integerErrors(weights, jobs);
    for (std::size_t i = 0; i < schemes.size(); ++i) {
        auto& together = outcomes[i];
        kernels::HistogramTotals totals {.counts = together.counts};
        kernels::histogramFold(tables[i], bins, totals);
        together.sums = jobs[i].sums;
        together.clipped = jobs[i].clipped;
        together.below = totals.below;
        together.above = totals.above;
        const auto name = QString("scheme %1, units of %2").arg(i).arg(schemes[i].shape.length);
        const auto alone = run(kernels::integerErrors, weights, schemes[i], i % 2 == counted ? range : 0.0F);
        QVERIFY2(isSame(together, alone), qPrintable(name));
        const auto expected =
            run(kernels::integerErrorsReference, weights, schemes[i], i % 2 == counted ? range : 0.0F);
        QVERIFY2(agree(together, expected, rowCount), qPrintable(name));
    }
}

}  // namespace

class TestFusedInteger : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void matchesReference_data() { addTargetRows({1, 7, 8, 33, 128, 333, 1024, 1056, 1100, 2500}); }
    void matchesReference()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        const auto columns = std::size_t(count);
        for (const auto content : {Content::Weights, Content::Awkward}) {
            Samples samples(count * int(rowCount), shift, content);
            // Rows of zeros, tiny and huge weights.
            for (std::size_t i = 0; i < columns && content == Content::Awkward; ++i) {
                samples.values()[i] = 0.0F;
                samples.values()[columns + i] = 1e-41F * float(int(i % 7) - 3);
                samples.values()[2 * columns + i] = 1e25F * float(int(i % 7) - 3);
                samples.values()[3 * columns + i] = 0.01F * float(int(i % 15) - 7);
            }
            const std::span<const float> weights = std::as_const(samples).values();
            for (const Case& of : cases)
                for (const std::size_t length : {std::size_t(32), std::size_t(128), std::size_t(48), columns}) {
                    if (length > columns)
                        continue;
                    const auto scheme = schemeOf(of, columns, length);
                    for (const float range : {0.0F, 0.003F}) {
                        const auto expected = run(kernels::integerErrorsReference, weights, scheme, range);
                        QVERIFY2(agree(run(kernels::integerErrors, weights, scheme, range), expected, rowCount),
                            qPrintable(QString("%1 g%2 %3").arg(of.name).arg(length).arg(double(range))));
                    }
                }
        }
    }

    // Rows of several stretches, the last one shorter; units of one segment and of several, of every length there is.
    void walksRegularUnits_data() { addTargetRows({2304, 5120}); }
    void walksRegularUnits()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        const auto columns = std::size_t(count);
        const Samples samples(count * int(rowCount), shift, Content::Weights);
        for (const Case& of : {cases[0], cases[4], cases[6], cases[8]})
            for (const std::size_t length : {std::size_t(32), std::size_t(64), std::size_t(96), std::size_t(128),
                     std::size_t(384), std::size_t(640), columns}) {
                if (columns % length != 0)
                    continue;
                const auto scheme = schemeOf(of, columns, length);
                // Without a histogram, ranges may be found beside.
                for (const float range : {0.0F, 0.003F}) {
                    const auto expected = run(kernels::integerErrorsReference, samples.values(), scheme, range);
                    QVERIFY2(agree(run(kernels::integerErrors, samples.values(), scheme, range), expected, rowCount),
                        qPrintable(QString("%1 g%2 %3").arg(of.name).arg(length).arg(double(range))));
                }
            }
    }

    // Whether formats are measured together or each alone must not show in any figure.
    void measuresTogether_data() { addTargetRows({1056, 5120, 18432}); }
    void measuresTogether()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        const auto columns = std::size_t(count);
        for (const auto content : {Content::Weights, Content::Awkward}) {
            Samples samples(count * int(rowCount), shift, content);
            // No two pieces have one range; a row of zeros, and one of huge weights.
            for (std::size_t i = 0; i < columns * rowCount; ++i)
                samples.values()[i] *= i < columns && content == Content::Awkward ? 0.0F : 1.0F + float(i / 32 % 37);
            for (std::size_t i = 0; i < columns && content == Content::Awkward; ++i)
                samples.values()[columns + i] = 1e25F * float(int(i % 7) - 3);
            std::vector<kernels::IntegerScheme> schemes;
            for (const std::size_t length : {columns, std::size_t(128), std::size_t(32), std::size_t(256),
                     std::size_t(48), std::size_t(1024), std::size_t(3072)})
                for (const Case& of : {cases[0], cases[1], cases[4], cases[6], cases[8]})
                    if (length <= columns)
                        schemes.push_back(schemeOf(of, columns, length));
            // Two whose grids are handed over.
            std::vector<UnitGrid> grids(columns * rowCount / 32);
            for (std::size_t i = 0; i < grids.size(); ++i)
                grids[i] = {0.002F * float(1 + i % 37), 8.0F};
            for (const std::size_t length : {std::size_t(32), std::size_t(96)})
                schemes.push_back({.shape = {columns, length, false}, .codes = {0.0F, 15.0F, false}, .grids = grids});
            for (const std::size_t counted : {0, 1})
                measureTogether(std::as_const(samples).values(), schemes, counted);
        }
    }

    // Alone, ranges are found beside what is measured, but not beside a block that only the definition can measure; and
    // stretches are shorter. A huge weight, one that is not a number, and a tiny block beside another.
    void isTheSameAloneWhereBlocksAreUnfit_data() { addTargetRows({1056, 2304, 5120}); }
    void isTheSameAloneWhereBlocksAreUnfit()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        const auto columns = std::size_t(count);
        Samples samples(count * int(rowCount), shift, Content::Weights);
        for (std::size_t i = 0; i < columns * rowCount; ++i)
            samples.values()[i] *= 1.0F + float(i / 32 % 37);
        for (std::size_t row = 1; row < rowCount; row += 3)
            samples.values()[row * columns + row] = 1e25F;
        samples.values()[2 * columns + 3] = std::numeric_limits<float>::quiet_NaN();
        for (float& weight : samples.values().subspan(3 * columns + columns / 1024 * 1024 - 1024, 1024))
            weight *= 0x1p-50F;
        std::vector<kernels::IntegerScheme> schemes;
        for (const std::size_t length : {32, 64, 128, 256})
            for (const Case& of : {cases[0], cases[8]})
                schemes.push_back(schemeOf(of, columns, length));
        for (const std::size_t counted : {0, 1})
            measureTogether(std::as_const(samples).values(), schemes, counted);
    }

    // Counters of 16 bits are emptied in time: errors of 0 alone, more than fit.
    void countsMoreThanItsCountersHold_data() { addTargetRows({4096}); }
    void countsMoreThanItsCountersHold()
    {
        QFETCH(const qint64, target);
        const TargetScope scope(target);
        constexpr std::size_t columns = 4096, rows = 160;
        std::vector<float> weights(rows * columns);  // steps, and one other
        for (std::size_t i = 0; i < weights.size(); ++i)
            weights[i] = i % 32 == 0 ? 0.75F : i % 32 == 1 ? -0.7F : 0.0F;
        const auto scheme = schemeOf(cases[0], columns, 128);
        const auto outcome = run(kernels::integerErrors, weights, scheme, 0.1F);
        const auto expected = run(kernels::integerErrorsReference, weights, scheme, 0.1F);
        QVERIFY(*std::max_element(expected.counts.begin(), expected.counts.end()) > 4 * 65'536);
        QVERIFY(agree(outcome, expected, rows));
    }

    void everyErrorIsExact_data() { addTargetRows({32, 333, 1024}); }
    void everyErrorIsExact()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        Samples samples(count, shift, Content::Weights);
        for (const Case& of : cases)
            for (const float offset : {0.0F, 3.0F, -0.5F}) {
                const auto scheme = schemeOf(of, std::size_t(count), std::size_t(count));
                samples.values()[0] = offset - 0.1F;
                samples.values()[1] = offset + 0.13F;
                const auto range = kernels::rangeOfReference(samples.values().first(2));
                putTies(samples.values(), kernels::integerGrid(of.rule, scheme.codes, range.minimum, range.maximum),
                    scheme.codes);
                const std::span<const float> weights = std::as_const(samples).values();
                // Of one row, columns hold e² and nothing else.
                const auto expected = run(kernels::integerErrorsReference, weights, scheme, 0.0F);
                const auto actual = run(kernels::integerErrors, weights, scheme, 0.0F);
                QVERIFY2(firstDifference(actual.columns, expected.columns) == -1, of.name);
                QVERIFY2(actual.clipped == expected.clipped, of.name);
            }
    }

    // The full symmetric range puts its largest weight on the middle between two steps, where a quotient rounds one way
    // and a product with the reciprocal may round the other.
    void extremesAreExact_data() { addTargetRows({32, 128, 333, 1100}); }
    void extremesAreExact()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        const auto columns = std::size_t(count);
        for (const int bits : {2, 3, 4, 8})
            for (int attempt = 0; attempt < 60; ++attempt) {
                const float size = 0.1F + 0.0013F * float(attempt);
                Samples samples(count, shift, Content::Weights);
                const auto weights = samples.values();
                for (float& weight : weights)
                    weight = std::clamp(weight, -0.99F * size, 0.99F * size);
                // At one end, at both, several times, and beside it.
                weights[3] = attempt % 2 == 0 ? size : -size;
                weights[columns / 2] = attempt % 3 == 0 ? -weights[3] : weights[3];
                weights[columns - 1] = attempt % 5 == 0 ? std::nextafter(weights[3], 0.0F) : weights[3];
                const auto scheme = schemeOf({"symf", IntegerRule::SymmetricFull, bits}, columns, columns);
                const float range = attempt % 7 == 0 ? 0.1F * size : size;
                const auto expected = run(kernels::integerErrorsReference, weights, scheme, range);
                const auto actual = run(kernels::integerErrors, weights, scheme, range);
                QVERIFY(firstDifference(actual.columns, expected.columns) == -1);
                QCOMPARE(actual.clipped, expected.clipped);
                QVERIFY(agree(actual, expected, 1));
            }
    }

    // A reciprocal that was lowered twice for the extreme rounds another weight the wrong way by as much as the proof
    // allows for.
    void loweredReciprocalsAreExact_data() { addTargetRows({32, 128}); }
    void loweredReciprocalsAreExact()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        for (const int bits : {2, 3, 4, 8, 12})
            for (int attempt = 0; attempt < 400; ++attempt) {
                Samples samples(count, shift, Content::Weights);
                const auto weights = samples.values();
                const float size = attempt == 0 ? 0x1.d4c9b6p+0F : 1.0F + 0.00213F * float(attempt);
                const auto scheme =
                    schemeOf({"symf", IntegerRule::SymmetricFull, bits}, weights.size(), weights.size());
                // Of one sign. Half of the largest is a middle between the last step and none; all others lie clear of
                // middles, or the unit would be done again for them.
                const float step = kernels::integerGrid(scheme.rule, scheme.codes, 0.0F, size).scale;
                for (std::size_t i = 0; i < weights.size(); ++i)
                    weights[i] = (float(i % 2) + 0.2F) * step;
                weights[0] = size;
                weights[1] = 0.5F * size;
                const auto expected = run(kernels::integerErrorsReference, weights, scheme, 0.0F);
                const auto actual = run(kernels::integerErrors, weights, scheme, 0.0F);
                QVERIFY(firstDifference(actual.columns, expected.columns) == -1);
                QCOMPARE(actual.clipped, expected.clipped);
            }
    }

    // Groups of one sign, of nothing but zeros of either sign, and with their extremes anywhere.
    void findsEveryRange_data() { addTargetRows({8, 32, 48, 128, 333, 1024}); }
    void findsEveryRange()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        const auto columns = std::size_t(count);
        Samples samples(count * int(rowCount), shift, Content::Weights);
        const auto weights = samples.values();
        for (std::size_t i = 0; i < weights.size(); ++i) {
            const std::size_t row = i / columns;
            float& weight = weights[i];
            if (row == 0 || row == 1)
                weight = row == 0 ? std::abs(weight) + 1e-3F : -std::abs(weight) - 1e-3F;
            else if (row == 2 || row == 3)
                weight = row == 2 ? -0.0F : (i % 2 == 0 ? -0.0F : 0.0F);
            else if (row == 4 || row == 5)
                weight = i % 3 == 0 ? -0.0F : row == 4 ? std::abs(weight) : -std::abs(weight);
            else if (i % columns == (row * 37) % columns)
                weight = row % 2 == 0 ? 1.0F : -1.0F;
        }
        for (const Case& of : cases)
            for (const std::size_t length : {std::size_t(8), std::size_t(32), columns}) {
                if (length > columns)
                    continue;
                const auto scheme = schemeOf(of, columns, length);
                for (const float range : {0.0F, 0.01F}) {
                    const auto expected = run(kernels::integerErrorsReference, weights, scheme, range);
                    QVERIFY2(agree(run(kernels::integerErrors, weights, scheme, range), expected, rowCount), of.name);
                }
            }
    }

    void takesGrids_data() { addTargetRows({64, 333, 2048}); }
    void takesGrids()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        const auto columns = std::size_t(count);
        const Samples samples(count * int(rowCount), shift, Content::Weights);
        const std::span<const float> weights = samples.values();
        for (const Case& of : cases)
            for (const std::size_t length : {std::size_t(32), columns})
                for (const bool shared : {false, true}) {
                    auto scheme = schemeOf(of, columns, shared ? columns : length);
                    scheme.shape.shared = shared;
                    // Narrow ranges: every fifth weight or so is clipped.
                    std::vector<UnitGrid> grids;
                    for (std::size_t i = 0; i < (shared ? 1 : rowCount * scheme.shape.unitsPerRow()); ++i)
                        grids.push_back(
                            kernels::integerGrid(of.rule, scheme.codes, -0.03F - 0.0001F * float(i), 0.026F));
                    scheme.rule = IntegerRule::Given;
                    scheme.grids = grids;
                    const auto expected = run(kernels::integerErrorsReference, weights, scheme, 0.02F);
                    QVERIFY(expected.clipped > 0);
                    QVERIFY2(agree(run(kernels::integerErrors, weights, scheme, 0.02F), expected, rowCount), of.name);
                }
    }
};

QTEST_APPLESS_MAIN(TestFusedInteger)
#include "tst_fused_integer.moc"
