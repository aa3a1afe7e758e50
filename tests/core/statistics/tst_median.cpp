// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/statistics/median.h"

#include <QTest>

#include <algorithm>
#include <limits>
#include <random>

using namespace quantloupe;

class TestMedian : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void isTheMiddle()
    {
        QVERIFY(median({3.0}) == 3.0);
        QVERIFY(median({5.0, 1.0, 3.0}) == 3.0);
        QVERIFY(median({4.0, 1.0, 2.0, 100.0}) == 3.0);
    }

    /// Of every size, with values near the limit and equal ones among them, against all values sorted.
    void tellsWhatIsBeyondAsSortingDoes()
    {
        std::mt19937 random(3);
        int beyond = 0, within = 0;
        for (int round = 0; round < 20'000; ++round) {
            std::vector<float> values(1 + random() % 9);
            for (auto& value : values)
                value = random() % 50 == 0 ? std::numeric_limits<float>::infinity() : float(random() % 16) * 0.25F;
            std::vector<float> sorted = values;
            std::sort(sorted.begin(), sorted.end());
            const std::size_t middle = sorted.size() / 2;
            const double mean = sorted.size() % 2 == 1 ? double(sorted[middle])
                                                       : 0.5 * (double(sorted[middle - 1]) + double(sorted[middle]));
            const double factor = double(1 + random() % 8) * 0.5;
            const bool expected = double(sorted.back()) > factor * mean;
            ++(expected ? beyond : within);
            const auto limit = limitExceeded(values, factor);
            QCOMPARE(limit.has_value(), expected);
            QVERIFY(!limit || *limit == factor * mean);
        }
        QVERIFY(beyond > 1'000 && within > 1'000);
    }

    void nothingIsBeyondNothing()
    {
        QVERIFY(!limitExceeded({}, 3.0));
        const std::vector<float> zeros(10);
        QVERIFY(!limitExceeded(zeros, 3.0));
    }
};

QTEST_APPLESS_MAIN(TestMedian)
#include "tst_median.moc"
