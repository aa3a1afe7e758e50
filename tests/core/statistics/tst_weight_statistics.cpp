// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/statistics/weight_statistics.h"

#include <QTest>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

using namespace quantloupe;

namespace {

WeightStatistics measure(std::span<const float> weights, std::size_t columns, double pivot = 0.0)
{
    std::vector<float> rowAbsMax(weights.size() / columns);
    WeightRanges ranges(pivot, columns);
    ranges.add(weights, rowAbsMax);
    WeightSpread spread(ranges);
    spread.add(weights);
    return summarize(ranges, spread, std::move(rowAbsMax));
}

bool close(double actual, double expected, double tolerance)
{
    return std::abs(actual - expected) <= tolerance * std::max(1e-30, std::abs(expected));
}

std::vector<float> heavyTailed(std::size_t count, float mean, unsigned seed)
{
    std::mt19937 random(seed);
    std::student_t_distribution<float> tail(5.0F);
    std::vector<float> weights(count);
    std::generate(weights.begin(), weights.end(), [&] { return mean + 0.02F * tail(random); });
    return weights;
}

}  // namespace

class TestWeightStatistics : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void matchesASlowReference_data()
    {
        QTest::addColumn<int>("rows");
        QTest::addColumn<int>("columns");
        QTest::addColumn<float>("mean");
        QTest::addColumn<double>("pivot");
        QTest::addRow("centred") << 37 << 301 << 0.0F << 0.0;
        QTest::addRow("large mean, good pivot") << 16 << 1024 << 1000.0F << 1000.0;
        QTest::addRow("some mean, no pivot") << 9 << 2048 << 0.5F << 0.0;
        QTest::addRow("one row") << 1 << 5000 << 0.0F << 0.0;
        QTest::addRow("one column") << 5000 << 1 << 0.0F << 0.0;
    }
    void matchesASlowReference()
    {
        QFETCH(const int, rows);
        QFETCH(const int, columns);
        QFETCH(const float, mean);
        QFETCH(const double, pivot);
        const auto n = static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
        const auto weights = heavyTailed(n, mean, 11);
        const auto actual = measure(weights, static_cast<std::size_t>(columns), pivot);

        // Two passes in long double: mean first, central sums about it.
        long double sum = 0;
        for (const float w : weights)
            sum += w;
        const long double average = sum / n;
        long double m2 = 0, m3 = 0, m4 = 0;
        for (const float w : weights) {
            const long double d = w - average;
            m2 += d * d / n;
            m3 += d * d * d / n;
            m4 += d * d * d * d / n;
        }
        const auto sigma = static_cast<double>(std::sqrt(m2));
        QCOMPARE(actual.moments.count, n);
        QVERIFY(std::abs(actual.moments.mean() - static_cast<double>(average)) < 1e-7 * sigma);
        QVERIFY(close(actual.moments.standardDeviation(), sigma, 1e-6));
        QVERIFY(std::abs(actual.moments.skewness() - static_cast<double>(m3 / std::pow(m2, 1.5L))) < 2e-5);
        QVERIFY(close(actual.moments.excessKurtosis(), static_cast<double>(m4 / (m2 * m2) - 3.0L), 2e-5));
        QCOMPARE(actual.minimum, static_cast<double>(*std::min_element(weights.begin(), weights.end())));
        QCOMPARE(actual.maximum, static_cast<double>(*std::max_element(weights.begin(), weights.end())));
        QCOMPARE(actual.absMax, std::max(std::abs(actual.minimum), std::abs(actual.maximum)));

        for (std::size_t row = 0; row < static_cast<std::size_t>(rows); ++row) {
            float largest = 0.0F;
            for (std::size_t column = 0; column < static_cast<std::size_t>(columns); ++column)
                largest = std::max(largest, std::abs(weights[row * static_cast<std::size_t>(columns) + column]));
            QCOMPARE(actual.rowAbsMax[row], largest);
        }
        for (std::size_t column = 0; column < static_cast<std::size_t>(columns); ++column) {
            float largest = 0.0F;
            for (std::size_t i = column; i < n; i += static_cast<std::size_t>(columns))
                largest = std::max(largest, std::abs(weights[i]));
            QCOMPARE(actual.columnAbsMax[column], largest);
        }

        // A weight within rounding of a threshold may fall on either side.
        QCOMPARE(actual.survival.size(), survivalPoints);
        for (std::size_t i = 0; i < survivalPoints; ++i) {
            const double threshold = 0.25 * static_cast<double>(i) * sigma;
            std::uint64_t surely = 0, perhaps = 0;
            for (const float w : weights) {
                const double distance = std::abs(static_cast<double>(w) - static_cast<double>(average));
                const double slack = 1e-5 * sigma + 1e-7 * std::abs(static_cast<double>(w));
                surely += distance > threshold + slack ? 1U : 0U;
                perhaps += distance > threshold - slack ? 1U : 0U;
            }
            const double share = actual.survival[i] * static_cast<double>(n);
            QVERIFY2(share >= static_cast<double>(surely) - 0.5 && share <= static_cast<double>(perhaps) + 0.5,
                qPrintable(QString::number(i)));
        }
        QCOMPARE(static_cast<double>(actual.beyond3Sigma) / static_cast<double>(n), actual.survival[12]);
        QCOMPARE(static_cast<double>(actual.beyond6Sigma) / static_cast<double>(n), actual.survival[24]);

        QCOMPARE(actual.histogram.total(), n);
        QCOMPARE(actual.histogram.underflow + actual.histogram.overflow, 0U);
        auto sorted = weights;
        std::sort(sorted.begin(), sorted.end());
        QVERIFY(
            std::abs(actual.percentile1 - static_cast<double>(sorted[n / 100])) < 1.5 * actual.histogram.binWidth());
        QVERIFY(std::abs(actual.percentile99 - static_cast<double>(sorted[n * 99 / 100]))
            < 1.5 * actual.histogram.binWidth());
    }

    void mergesPieces()
    {
        const auto weights = heavyTailed(12 * 50, 0.0F, 3);
        const std::span<const float> all = weights;
        std::vector<float> rows(12);
        WeightRanges whole(0.0, 50), first(0.0, 50), second(0.0, 50), nothing(0.0, 50);
        whole.add(all, rows);
        first.add(all.first(250), std::span(rows).first(5));
        second.add(all.subspan(250), std::span(rows).subspan(5));
        nothing += first;
        nothing += second;
        QCOMPARE(nothing.minimum, whole.minimum);
        QCOMPARE(nothing.maximum, whole.maximum);
        QCOMPARE(nothing.columnAbsMax, whole.columnAbsMax);
        QCOMPARE(nothing.moments.count, whole.moments.count);
        QVERIFY(close(nothing.moments.sum4, whole.moments.sum4, 1e-12));

        WeightSpread together(whole), left(whole), right(whole);
        together.add(all);
        left.add(all.first(77));
        right.add(all.subspan(77));
        left += right;
        QVERIFY(left.reached() == together.reached());
        QVERIFY(left.histogram() == together.histogram());
    }

    void passesOverNonFinite()
    {
        constexpr float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
        const std::vector<float> weights {1.0F, nan, -3.0F, inf, 0.0F, -inf, nan, nan, -0.0F};
        const auto statistics = measure(weights, 3);
        QCOMPARE(statistics.nonFinite, 5U);
        QCOMPARE(statistics.moments.count, 4U);
        QCOMPARE(statistics.zeros, 2U);
        QCOMPARE(statistics.minimum, -3.0);
        QCOMPARE(statistics.maximum, 1.0);
        QCOMPARE(statistics.moments.mean(), -0.5);
        QCOMPARE(statistics.rowAbsMax, (std::vector<float> {3.0F, 0.0F, 0.0F}));
        QCOMPARE(statistics.columnAbsMax, (std::vector<float> {1.0F, 0.0F, 3.0F}));
        QCOMPARE(statistics.histogram.total(), 4U);
    }

    void nothingFinite()
    {
        const std::vector<float> weights(6, std::numeric_limits<float>::quiet_NaN());
        const auto statistics = measure(weights, 3);
        QCOMPARE(statistics.nonFinite, 6U);
        QCOMPARE(statistics.absMax, 0.0);
        QVERIFY(std::isnan(statistics.moments.mean()));
        QCOMPARE(statistics.survival, std::vector<double>(survivalPoints));
        QCOMPARE(statistics.histogram.total(), 0U);
    }

    void constants()
    {
        const std::vector<float> weights(64, 0.1F);
        const auto statistics = measure(weights, 8, static_cast<double>(0.1F));
        QCOMPARE(statistics.moments.standardDeviation(), 0.0);
        QVERIFY(std::isnan(statistics.moments.excessKurtosis()));
        QCOMPARE(statistics.beyond3Sigma, 0U);
        QCOMPARE(statistics.histogram.low, statistics.histogram.high);
        QCOMPARE(statistics.histogram.total(), 64U);
        QCOMPARE(statistics.percentile99, static_cast<double>(0.1F));
    }

    void findsOutliers_data()
    {
        QTest::addColumn<std::vector<float>>("maxima");
        QTest::addColumn<std::vector<std::uint32_t>>("expected");
        using Floats = std::vector<float>;
        using Indices = std::vector<std::uint32_t>;
        QTest::addRow("none") << Floats {} << Indices {};
        QTest::addRow("two are too few") << Floats {1.0F, 100.0F} << Indices {};
        QTest::addRow("odd, one stands out") << Floats {1.0F, 3.5F, 1.0F} << Indices {1};
        QTest::addRow("exactly three times does not") << Floats {1.0F, 3.0F, 1.0F} << Indices {};
        QTest::addRow("even: mean of the middle two") << Floats {1.0F, 2.0F, 4.4F, 4.6F, 1.0F, 1.0F} << Indices {3};
        QTest::addRow("two, ascending") << Floats {9.0F, 1.0F, 1.0F, 1.0F, 8.0F} << Indices {0, 4};
        QTest::addRow("mostly zeros") << Floats {0.0F, 0.0F, 1.0F, 0.0F} << Indices {2};
        QTest::addRow("all zero") << Floats {0.0F, 0.0F, 0.0F} << Indices {};
    }
    void findsOutliers()
    {
        QFETCH(const std::vector<float>, maxima);
        QFETCH(const std::vector<std::uint32_t>, expected);
        QCOMPARE(outliersAmong(maxima), expected);
    }
};

QTEST_APPLESS_MAIN(TestWeightStatistics)
#include "tst_weight_statistics.moc"
