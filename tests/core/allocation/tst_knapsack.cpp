// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/allocation/knapsack.h"

#include <QTest>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

using namespace quantloupe;

namespace {

using Classes = std::vector<std::vector<KnapsackOption>>;

/// The least cost by trying everything; infinity: nothing fits.
double leastCost(const Classes& classes, double limit, std::size_t place = 0, double weight = 0.0, double cost = 0.0)
{
    if (place == classes.size())
        return weight <= limit ? cost : std::numeric_limits<double>::infinity();
    double least = std::numeric_limits<double>::infinity();
    for (const auto& option : classes[place])
        least = std::min(least, leastCost(classes, limit, place + 1, weight + option.weight, cost + option.cost));
    return least;
}

enum Kind { Real, SmallIntegers, EqualSizes, ErrorLike };

/// Options of `kind`; of the last, error falls by about four per bit, as that of layers does.
Classes someClasses(std::mt19937& random, Kind kind, std::size_t count, std::size_t most)
{
    std::uniform_real_distribution<double> real(0.0, 1.0);
    std::lognormal_distribution<double> sensitivity(0.0, 1.5);
    Classes classes(count);
    for (auto& options : classes) {
        const auto size = 1 + random() % most;
        const double parameters = std::floor(1e3 * (1.0 + 4.0 * real(random))), sensitive = sensitivity(random);
        for (std::size_t i = 0; i < size; ++i)
            switch (kind) {
            case Real: options.push_back({real(random), real(random)}); break;
            case SmallIntegers: options.push_back({double(random() % 6), double(random() % 5)}); break;
            case EqualSizes: options.push_back({double(1 + i), std::floor(real(random) * 8.0)}); break;
            case ErrorLike:
                options.push_back(
                    {parameters * double(2 + i), sensitive * std::pow(4.0, -double(i)) * (0.8 + 0.4 * real(random))});
                break;
            }
    }
    return classes;
}

double limitWithin(std::mt19937& random, const Classes& classes)
{
    double lightest = 0.0, heaviest = 0.0;
    for (const auto& options : classes) {
        const auto lighter = [](const KnapsackOption& a, const KnapsackOption& b) { return a.weight < b.weight; };
        const auto [low, high] = std::minmax_element(options.begin(), options.end(), lighter);
        lightest += low->weight;
        heaviest += high->weight;
    }
    std::uniform_real_distribution<double> share(-0.1, 1.1);
    return std::floor(1e6 * (lightest + share(random) * (heaviest - lightest))) / 1e6;
}

void checkSums(const Classes& classes, double limit, const KnapsackSolution& solution)
{
    QCOMPARE(solution.choice.size(), classes.size());
    double weight = 0.0, cost = 0.0;
    for (std::size_t i = 0; i < classes.size(); ++i) {
        weight += classes[i][solution.choice[i]].weight;
        cost += classes[i][solution.choice[i]].cost;
    }
    QVERIFY(weight <= limit);
    QCOMPARE(solution.weight, weight);
    QCOMPARE(solution.cost, cost);
}

}  // namespace

class TestKnapsack : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void equalsBruteForce_data()
    {
        QTest::addColumn<int>("kind");
        QTest::newRow("real numbers") << int(Real);
        QTest::newRow("small integers, many equals") << int(SmallIntegers);
        QTest::newRow("equal sizes") << int(EqualSizes);
        QTest::newRow("errors that fall with bits") << int(ErrorLike);
    }
    void equalsBruteForce()
    {
        QFETCH(const int, kind);
        std::mt19937 random(unsigned(kind) + 1);
        std::size_t solved = 0;
        for (int round = 0; round < 400; ++round) {
            const auto classes = someClasses(random, Kind(kind), 1 + random() % 6, 5);
            const double limit = limitWithin(random, classes);
            const double least = leastCost(classes, limit);
            const auto solution = solveKnapsack(classes, limit);
            QCOMPARE(solution.has_value(), std::isfinite(least));
            if (!solution)
                continue;
            ++solved;
            checkSums(classes, limit, *solution);
            QVERIFY(solution->optimal);
            QVERIFY2(std::abs(solution->cost - least) <= 1e-9 * (1.0 + least), qPrintable(QString::number(round)));
            QVERIFY(solution->bound <= solution->cost + 1e-9);
        }
        QVERIFY(solved > 300);
    }

    /// As many as a large model has; nothing can be better than the bound.
    void largeModelsAreSolvedToTheEnd()
    {
        std::mt19937 random(5);
        const auto classes = someClasses(random, ErrorLike, 1'000, 12);
        for (int round = 0; round < 5; ++round) {
            const double limit = limitWithin(random, classes);
            const auto solution = solveKnapsack(classes, limit);
            if (!solution)
                continue;
            checkSums(classes, limit, *solution);
            QVERIFY(solution->optimal);
        }
    }

    void moreRoomNeverCostsMore()
    {
        std::mt19937 random(6);
        const auto classes = someClasses(random, ErrorLike, 40, 6);
        double before = std::numeric_limits<double>::infinity();
        for (double limit = 2e5; limit < 1e6; limit += 7'919.0)
            if (const auto solution = solveKnapsack(classes, limit)) {
                QVERIFY(solution->cost <= before);
                before = solution->cost;
            }
        QVERIFY(std::isfinite(before));
    }

    void ends()
    {
        QVERIFY(solveKnapsack({}, 0.0).has_value());
        const Classes one {{{3.0, 1.0}, {2.0, 2.0}}};
        QVERIFY(!solveKnapsack(one, 1.9));
        QCOMPARE(solveKnapsack(one, 2.0)->choice, std::vector<std::uint32_t> {1});
        QCOMPARE(solveKnapsack(one, 3.0)->choice, std::vector<std::uint32_t> {0});
        QCOMPARE(solveKnapsack(one, 99.0)->cost, 1.0);
    }

    void aLimitOnErrorIsTheSameProblem()
    {
        // Weights may be any numbers: least bytes within an error.
        const Classes classes {{{0.5, 10.0}, {0.1, 20.0}}, {{0.4, 30.0}, {0.05, 80.0}}};
        const auto solution = solveKnapsack(classes, 0.55);
        QCOMPARE(solution->choice, (std::vector<std::uint32_t> {1, 0}));
        QCOMPARE(solution->cost, 50.0);
    }
};

QTEST_APPLESS_MAIN(TestKnapsack)
#include "tst_knapsack.moc"
