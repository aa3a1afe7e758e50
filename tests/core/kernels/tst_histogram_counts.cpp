// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/histogram_counts.h"
#include "tests/support/kernel_sweep.h"

#include <numeric>

using namespace quantloupe;
using namespace quantloupe::tests;
using kernels::HistogramBins;
using kernels::HistogramTables;
using kernels::HistogramTotals;

namespace {

struct Counted {
    std::vector<std::uint64_t> counts;
    std::uint64_t below, above, nonFinite;
    bool operator==(const Counted&) const = default;
};

template<class FillFunction>
Counted counted(FillFunction fill, std::span<const float> values, const HistogramBins& bins)
{
    HistogramTables tables;
    fill(values, bins, tables);
    std::vector<std::uint64_t> counts(bins.bins);
    HistogramTotals totals {counts};
    kernels::histogramFold(tables, bins, totals);
    kernels::histogramFold(tables, bins, totals);  // the second finds nothing
    return {counts, totals.below, totals.above, totals.nonFinite};
}

}  // namespace

class TestHistogramCounts : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void matchesReference_data()
    {
        // Slots wait to be counted, 256 of them.
        addTargetRows({0, 1, 7, 8, 9, 15, 16, 17, 100, 255, 256, 257, 272, 513, 1000});
    }
    void matchesReference()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        const HistogramBins choices[] = {{-0.05F, 0.05F, 256}, {-0.02F, 0.07F, 512}, {0.0F, 1e-30F, 1},
            {-3.4e38F, 3.4e38F, 256}, {0.0F, 0.0F, 256}, {0.5F, 0.5F, 3}, {1e-45F, 3e-45F, 256},
            {-1e-40F, 1e-40F, 100}};
        for (const Content content : {Content::Weights, Content::Awkward})
            for (const HistogramBins& bins : choices) {
                const Samples samples(count, shift, content);
                const Counted actual = counted(kernels::histogramFill, samples.values(), bins);
                QVERIFY(actual == counted(kernels::histogramFillReference, samples.values(), bins));
                QCOMPARE(std::accumulate(actual.counts.begin(), actual.counts.end(),
                             actual.below + actual.above + actual.nonFinite),
                    std::uint64_t(count));
            }
        for (const float step : {0.005F, 1e-38F, 1e30F}) {
            const Samples samples(count, shift, Content::Awkward);
            HistogramTables tables, expectedTables;
            kernels::distanceFill(samples.values(), 0.001F, step, 82, tables);
            kernels::distanceFillReference(samples.values(), 0.001F, step, 82, expectedTables);
            std::vector<std::uint64_t> counts(82), expected(82);
            std::uint64_t nonFinite = 0, expectedNonFinite = 0;
            kernels::distanceFold(tables, counts, nonFinite);
            kernels::distanceFold(expectedTables, expected, expectedNonFinite);
            QVERIFY(counts == expected);
            QCOMPARE(nonFinite, expectedNonFinite);
            QCOMPARE(std::accumulate(counts.begin(), counts.end(), nonFinite), std::uint64_t(count));
        }
    }

    void edges()
    {
        const HistogramBins bins {-2.0F, 2.0F, 4};
        const float values[] = {
            -2.0F, -1.0F, -0.0F, 0.0F, 0.999F, 1.0F, 2.0F, 2.001F, -2.001F, HUGE_VALF, -HUGE_VALF, std::nanf("")};
        const Counted result = counted(kernels::histogramFill, values, bins);
        QCOMPARE(result.counts, (std::vector<std::uint64_t> {1, 1, 3, 2}));
        QCOMPARE(result.below, std::uint64_t(1));
        QCOMPARE(result.above, std::uint64_t(1));
        QCOMPARE(result.nonFinite, std::uint64_t(3));
        const float same[] = {0.5F, 0.5F, 0.25F, 0.75F};
        const Counted one = counted(kernels::histogramFill, same, {0.5F, 0.5F, 8});
        QCOMPARE(one.counts.front(), std::uint64_t(2));
        QCOMPARE(one.below + one.above, std::uint64_t(2));
    }

    // Slot i means more than i − 1 steps away, at most i.
    void distances()
    {
        const float values[] = {1.0F, 1.5F, 2.0F, 2.1F, 0.0F, -0.1F, 100.0F, std::nanf("")};
        HistogramTables tables;
        kernels::distanceFill(values, 1.0F, 1.0F, 5, tables);
        std::vector<std::uint64_t> counts(5);
        std::uint64_t nonFinite = 0;
        kernels::distanceFold(tables, counts, nonFinite);
        QCOMPARE(counts, (std::vector<std::uint64_t> {1, 3, 2, 0, 1}));
        QCOMPARE(nonFinite, std::uint64_t(1));
    }

    void jointCountsAsBothDo_data() { addTargetRows({0, 1, 7, 9, 100, 255, 256, 257, 272, 1000}); }
    void jointCountsAsBothDo()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        for (const Content content : {Content::Weights, Content::Awkward})
            for (const HistogramBins& bins : {HistogramBins {-0.1F, 0.1F, 256}, HistogramBins {-0.02F, 0.07F, 512}})
                for (const float step : {0.005F, 1e-38F, 1e30F}) {
                    const Samples samples(count, shift, content);
                    const Counted expected = counted(kernels::histogramFillReference, samples.values(), bins);
                    HistogramTables tables;
                    kernels::distanceFillReference(samples.values(), 0.003F, step, 82, tables);
                    std::vector<std::uint64_t> expectedDistances(82), distances(82), counts(bins.bins);
                    std::uint64_t nonFinite = 0;
                    kernels::distanceFold(tables, expectedDistances, nonFinite);
                    kernels::JointTable joint(bins.bins);
                    kernels::jointFill(samples.values(), bins, 0.003F, step, 82, joint);
                    HistogramTotals totals {counts};
                    kernels::jointFold(joint, bins, totals, distances);
                    QVERIFY((Counted {counts, totals.below, totals.above, totals.nonFinite} == expected));
                    QCOMPARE(distances, expectedDistances);
                }
    }
};

QTEST_APPLESS_MAIN(TestHistogramCounts)
#include "tst_histogram_counts.moc"
