// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/fused_integer.h"
#include "core/kernels/ranges.h"
#include "tests/support/fused_integer_outcome.h"
#include "tests/support/kernel_sweep.h"

#include <algorithm>
#include <array>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

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
            for (const IntegerCase& of : integerCases)
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
        for (const IntegerCase& of : {integerCases[0], integerCases[4], integerCases[6], integerCases[8]})
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
                for (const IntegerCase& of :
                    {integerCases[0], integerCases[1], integerCases[4], integerCases[6], integerCases[8]})
                    if (length <= columns)
                        schemes.push_back(schemeOf(of, columns, length));
            // Two whose grids are handed over.
            std::vector<UnitGrid> grids(columns * rowCount / 32);
            for (std::size_t i = 0; i < grids.size(); ++i)
                grids[i] = {0.002F * float(1 + i % 37), 8.0F};
            for (const std::size_t length : {std::size_t(32), std::size_t(96)})
                schemes.push_back({.shape = {columns, length, false}, .codes = {0.0F, 15.0F, false}, .grids = grids});
            for (const std::size_t counted : {0U, 1U})
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
        // Where both ends are as far, a block has units that clip beside one that has none.
        for (std::size_t i = 1025; i < columns; i += 2048)
            samples.values()[i] = -(samples.values()[i - 1] = 1.5F);
        std::vector<kernels::IntegerScheme> schemes;
        for (const std::size_t length : {32U, 64U, 128U, 256U})
            for (const IntegerCase& of : {integerCases[0], integerCases[4], integerCases[6], integerCases[8]})
                schemes.push_back(schemeOf(of, columns, length));
        for (const std::size_t counted : {0U, 1U})
            measureTogether(std::as_const(samples).values(), schemes, counted);
    }

    // Sums of doubles are not exact where blocks are of very different sizes: their order tells.
    void addsBlocksOneByOne_data() { addTargetRows({5120}); }
    void addsBlocksOneByOne()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        const auto columns = std::size_t(count);
        const std::array schemes {schemeOf(integerCases[1], columns, 128), schemeOf(integerCases[1], columns, 64)};
        for (int attempt = 0; attempt < 100; ++attempt) {
            Samples samples(count, shift, Content::Weights);
            for (std::size_t i = 0; i < columns; ++i)
                samples.values()[i] *= (1.0F + 0.013F * float(attempt)) * (i < 1024 ? 1.0F : 0x1p-17F);
            const auto weights = std::as_const(samples).values();
            std::array<Outcome, 2> outcomes;
            std::vector<kernels::IntegerErrorJob> jobs;
            for (std::size_t i = 0; i < schemes.size(); ++i) {
                outcomes[i].rows.resize(1);
                outcomes[i].columns.resize(columns);
                jobs.push_back({.scheme = &schemes[i], .profile = {outcomes[i].rows, outcomes[i].columns}});
            }
            kernels::integerErrors(weights, jobs);
            for (std::size_t i = 0; i < schemes.size(); ++i) {
                const auto alone = run(kernels::integerErrors, weights, schemes[i], 0.0F);
                QVERIFY(jobs[i].sums.signalEnergy == alone.sums.signalEnergy);
                QVERIFY(jobs[i].sums.errorEnergy == alone.sums.errorEnergy);
                QVERIFY(jobs[i].sums.dotProduct == alone.sums.dotProduct);
            }
        }
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
        // Whole segments; units of any length; and units that some weights leave, by more than the histogram reaches.
        const UnitGrid grid {0.1F, 8.0F};
        kernels::IntegerScheme given {
            .shape = {columns, 128, true}, .codes = {4.0F, 12.0F, false}, .grids = {&grid, 1}};
        for (const auto& scheme :
            {schemeOf(integerCases[0], columns, 128), schemeOf(integerCases[0], columns, 48), given}) {
            const auto outcome = run(kernels::integerErrors, weights, scheme, 0.1F);
            const auto expected = run(kernels::integerErrorsReference, weights, scheme, 0.1F);
            QVERIFY(*std::max_element(expected.counts.begin(), expected.counts.end()) > 4 * 65'536);
            QVERIFY(agree(outcome, expected, rows));
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
        for (const IntegerCase& of : integerCases)
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
        for (const IntegerCase& of : integerCases)
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
