// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/statistics/histogram.h"

#include <QTest>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

using quantloupe::Histogram;

namespace {

Histogram empty(double low, double high, std::size_t bins)
{
    return {.low = low, .high = high, .counts = std::vector<std::uint64_t>(bins)};
}

}  // namespace

class TestHistogram : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void placesValues_data()
    {
        QTest::addColumn<float>("value");
        QTest::addColumn<int>("bin");  // −1 underflow, −2 overflow, −3 not counted
        QTest::addRow("low edge") << -1.0F << 0;
        QTest::addRow("inside the first") << -0.6F << 0;
        QTest::addRow("inner edge goes up") << -0.5F << 1;
        QTest::addRow("zero") << 0.0F << 2;
        QTest::addRow("negative zero") << -0.0F << 2;
        QTest::addRow("high belongs to the last") << 1.0F << 3;
        QTest::addRow("below") << std::nextafter(-1.0F, -2.0F) << -1;
        QTest::addRow("above") << std::nextafter(1.0F, 2.0F) << -2;
        QTest::addRow("minus infinity") << -std::numeric_limits<float>::infinity() << -3;
        QTest::addRow("infinity") << std::numeric_limits<float>::infinity() << -3;
        QTest::addRow("NaN") << std::numeric_limits<float>::quiet_NaN() << -3;
    }
    void placesValues()
    {
        QFETCH(const float, value);
        QFETCH(const int, bin);
        auto histogram = empty(-1.0, 1.0, 4);
        histogram.add({&value, 1});
        QCOMPARE(histogram.total(), bin == -3 ? 0U : 1U);
        QCOMPARE(histogram.underflow, bin == -1 ? 1U : 0U);
        QCOMPARE(histogram.overflow, bin == -2 ? 1U : 0U);
        if (bin >= 0)
            QCOMPARE(histogram.counts[static_cast<std::size_t>(bin)], 1U);
    }

    void countsWhatASlowLoopCounts()
    {
        std::mt19937 random(7);
        std::normal_distribution<float> normal(0.1F, 0.5F);
        std::vector<float> values(20000);
        std::generate(values.begin(), values.end(), [&] { return normal(random); });
        auto histogram = empty(-1.25, 1.25, 256);
        histogram.add(values);
        // Edges are exact in binary where the width is 2.5/256: compare against each bin's own bounds.
        for (std::size_t bin = 0; bin < 256; ++bin) {
            const double low = -1.25 + 2.5 * static_cast<double>(bin) / 256.0, high = low + 2.5 / 256.0;
            const auto inside =
                std::count_if(values.begin(), values.end(), [&](float v) { return v >= low && v < high; });
            QCOMPARE(histogram.counts[bin], static_cast<std::uint64_t>(inside));
        }
        const auto under = std::count_if(values.begin(), values.end(), [](float v) { return v < -1.25F; });
        QCOMPARE(histogram.underflow, static_cast<std::uint64_t>(under));
        QCOMPARE(histogram.total(), values.size());
    }

    void mergesByAddition()
    {
        const std::vector<float> values {-2.0F, -0.9F, -0.1F, 0.4F, 0.9F, 3.0F, 5.0F};
        auto whole = empty(-1.0, 1.0, 8), first = whole, second = whole;
        whole.add(values);
        first.add(std::span(values).first(3));
        second.add(std::span(values).subspan(3));
        first += second;
        QVERIFY(first == whole);
    }

    void knowsItsQuantiles()
    {
        auto histogram = empty(0.0, 10.0, 10);
        QCOMPARE(histogram.quantile(0.5), 10.0);  // nothing to look for: the end of the range
        std::vector<float> values;
        for (int i = 0; i < 1000; ++i)
            values.push_back(static_cast<float>(i) / 100.0F);
        histogram.add(values);
        for (const double q : {0.0, 0.01, 0.25, 0.5, 0.99, 1.0})
            QVERIFY2(std::abs(histogram.quantile(q) - 10.0 * q) < 0.02, qPrintable(QString::number(q)));
        histogram.underflow = 1000;
        QCOMPARE(histogram.quantile(0.25), 0.0);
        QVERIFY(std::abs(histogram.quantile(0.75) - 5.0) < 0.02);
        histogram.overflow = 2000;
        QCOMPARE(histogram.quantile(0.75), 10.0);
    }

    void oneValueOnly()
    {
        auto histogram = empty(3.0, 3.0, 4);
        const std::vector<float> values {3.0F, 3.0F, 2.0F};
        histogram.add(values);
        QCOMPARE(histogram.counts[0], 2U);
        QCOMPARE(histogram.underflow, 1U);
        QCOMPARE(histogram.binWidth(), 0.0);
        QCOMPARE(histogram.quantile(0.9), 3.0);
    }
};

QTEST_APPLESS_MAIN(TestHistogram)
#include "tst_histogram.moc"
