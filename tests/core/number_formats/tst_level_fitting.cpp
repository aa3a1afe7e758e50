// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/number_formats/level_fitting.h"

#include <QTest>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

using namespace quantloupe;

namespace {

double errorOf(const std::vector<float>& values, const std::vector<float>& weights, const std::vector<double>& levels)
{
    double sum = 0.0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        double least = std::numeric_limits<double>::infinity();
        for (const double level : levels)
            least = std::min(least, (double(values[i]) - level) * (double(values[i]) - level));
        sum += (weights.empty() ? 1.0 : double(weights[i])) * least;
    }
    return sum;
}

// The least error that `count` levels can have: every way to cut the sorted values, by the obvious recurrence.
double leastError(const std::vector<float>& values, const std::vector<float>& weights, std::size_t count)
{
    std::vector<std::pair<double, double>> sorted;  // value, weight
    for (std::size_t i = 0; i < values.size(); ++i)
        sorted.emplace_back(double(values[i]), weights.empty() ? 1.0 : double(weights[i]));
    std::sort(sorted.begin(), sorted.end());
    const std::size_t n = sorted.size();
    const auto costOf = [&](std::size_t begin, std::size_t end) {
        double weight = 0.0, first = 0.0, cost = 0.0;
        for (std::size_t i = begin; i < end; ++i) {
            weight += sorted[i].second;
            first += sorted[i].second * sorted[i].first;
        }
        const double mean = weight > 0.0 ? first / weight : 0.0;
        for (std::size_t i = begin; i < end; ++i)
            cost += sorted[i].second * (sorted[i].first - mean) * (sorted[i].first - mean);
        return cost;
    };
    std::vector<double> least(n + 1, std::numeric_limits<double>::infinity());
    least[0] = 0.0;
    for (std::size_t k = 0; k < count; ++k) {
        auto next = least;
        for (std::size_t end = 1; end <= n; ++end)
            for (std::size_t begin = 0; begin < end; ++begin)
                next[end] = std::min(next[end], least[begin] + costOf(begin, end));
        least = next;
    }
    return least[n];
}

}  // namespace

class TestLevelFitting : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void findsTheOptimum_data()
    {
        QTest::addColumn<int>("size");
        QTest::addColumn<int>("levels");
        QTest::addColumn<bool>("weighted");
        QTest::addColumn<bool>("ties");
        for (const int size : {1, 2, 5, 17, 60})
            for (const int levels : {1, 2, 4, 8, 16})
                for (const bool weighted : {false, true})
                    for (const bool ties : {false, true})
                        QTest::addRow("%d values, %d levels%s%s", size, levels, weighted ? ", weighted" : "",
                            ties ? ", ties" : "")
                            << size << levels << weighted << ties;
    }
    void findsTheOptimum()
    {
        QFETCH(const int, size);
        QFETCH(const int, levels);
        QFETCH(const bool, weighted);
        QFETCH(const bool, ties);
        std::mt19937 random(unsigned(size * 100 + levels));
        std::normal_distribution<float> normal(0.5F, 2.0F);
        std::vector<float> values(static_cast<std::size_t>(size)), weights;
        for (float& value : values)
            value = ties ? std::round(normal(random)) * 0.5F : normal(random);
        if (ties)
            values[0] = -0.0F;
        for (std::size_t i = 0; weighted && i < values.size(); ++i)
            weights.push_back(i % 5 == 4 ? 0.0F : std::abs(normal(random)));
        const auto fitted = fitLevels(values, weights, std::size_t(levels));
        QCOMPARE(fitted.size(), std::size_t(levels));
        QVERIFY(std::is_sorted(fitted.begin(), fitted.end()));
        const double least = leastError(values, weights, std::size_t(levels));
        const double error = errorOf(values, weights, fitted);
        QVERIFY2(error <= least * (1.0 + 1e-9) + 1e-12, qPrintable(QString("%1 > %2").arg(error).arg(least)));
    }

    // One damaged weight among many leaves the others their levels.
    void keepsLevelsBesideOneFarAway_data()
    {
        QTest::addColumn<float>("far");
        for (const float far : {1.0F, 30.0F, 3e4F, 1e20F, -3e4F})
            QTest::addRow("%g", double(far)) << far;
    }
    void keepsLevelsBesideOneFarAway()
    {
        QFETCH(const float, far);
        std::mt19937 random(7);
        std::normal_distribution<float> normal(0.0F, 0.02F);
        std::vector<float> values(4096);
        for (float& value : values)
            value = normal(random);
        const auto alone = fitLevels(values, {}, 15);
        const double best = errorOf(values, {}, alone);
        values[1000] = far;
        const auto levels = fitLevels(values, {}, 16);
        QVERIFY(std::all_of(levels.begin(), levels.end(), [](double level) { return std::isfinite(level); }));
        QVERIFY(std::is_sorted(levels.begin(), levels.end()));
        const double error = errorOf(values, {}, levels);
        QVERIFY2(error <= 1.05 * best, qPrintable(QString("%1 > %2").arg(error).arg(best)));
    }

    void isAllButTheOptimumOfMany()
    {
        std::mt19937 random(3);
        std::normal_distribution<float> normal(0.0F, 1.0F);
        std::vector<float> values(2000);
        for (float& value : values)
            value = normal(random);
        const std::vector<float> few(values.begin(), values.begin() + 1024);
        // 1,024 are fitted exactly, 1,025 by runs of neighbours.
        std::vector<float> more = few;
        more.push_back(values[1500]);
        const double exact = errorOf(few, {}, fitLevels(few, {}, 16));
        const double nearly = errorOf(more, {}, fitLevels(more, {}, 16));
        QVERIFY2(nearly <= 1.01 * exact, qPrintable(QString("%1 > %2").arg(nearly).arg(exact)));
    }

    void countsNothingWithoutValues()
    {
        QCOMPARE(fitLevels({}, {}, 4), std::vector<double>(4, 0.0));
        QCOMPARE(fitLevels(std::vector<float> {2.0F, 2.0F}, {}, 3), std::vector<double>(3, 2.0));
        QCOMPARE(fitLevels(std::vector<float> {1.0F, 3.0F}, std::vector<float> {0.0F, 0.0F}, 1),
            std::vector<double>(1, 2.0));
    }
};

QTEST_APPLESS_MAIN(TestLevelFitting)
#include "tst_level_fitting.moc"
