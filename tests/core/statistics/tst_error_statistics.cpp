// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/statistics/error_accumulator.h"

#include <QTest>

#include <cmath>
#include <limits>
#include <random>

using quantloupe::ErrorAccumulator;
using quantloupe::ErrorStatistics;

namespace {

constexpr float notANumber = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();

/// Blocks of 512 are summed in at least four float lanes: the kernels' bound.
constexpr double laneError = 0x1p-24 * (512 / 4 + 8);

struct Pair {
    std::vector<float> originals, quantized;
    std::size_t rows = 0, columns = 0;
};

Pair randomPair(std::size_t rows, std::size_t columns, unsigned seed, double nonFiniteShare = 0.0)
{
    std::mt19937 random(seed);
    std::normal_distribution<float> weight(0.01F, 0.02F), error(0.0005F, 0.001F);
    std::uniform_real_distribution<double> share(0.0, 1.0);
    Pair pair {.originals = {}, .quantized = {}, .rows = rows, .columns = columns};
    for (std::size_t i = 0; i < rows * columns; ++i) {
        const float w = weight(random);
        pair.originals.push_back(share(random) < nonFiniteShare ? (i % 2 == 0 ? notANumber : -infinity) : w);
        pair.quantized.push_back(w - error(random));
    }
    return pair;
}

/// Difference relative to the larger, for sums whose order differs.
bool close(double actual, double expected, double tolerance)
{
    return std::abs(actual - expected) <= tolerance * std::max(std::abs(actual), std::abs(expected));
}

}  // namespace

class TestErrorStatistics : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void emptyIsNotPerfect()
    {
        const ErrorStatistics none;
        for (const double figure :
            {none.mse(), none.sqnrDb(), none.relativeError(), none.cosine(), none.clippedRatio(), none.meanError()})
            QVERIFY(std::isnan(figure));
    }

    void losslessIsInfinite()
    {
        const ErrorStatistics same {.count = 4, .signalEnergy = 1.0, .quantizedEnergy = 1.0, .dotProduct = 1.0};
        QCOMPARE(same.sqnrDb(), std::numeric_limits<double>::infinity());
        QCOMPARE(same.mse(), 0.0);
        QCOMPARE(same.cosine(), 1.0);
    }

    void zeroSignalHasNoRatio()
    {
        const ErrorStatistics zeros {.count = 4, .quantizedEnergy = 1.0, .errorEnergy = 1.0};
        QVERIFY(std::isnan(zeros.sqnrDb()));
        QVERIFY(std::isnan(zeros.relativeError()));
        QVERIFY(std::isnan(zeros.cosine()));
        QCOMPARE(zeros.mse(), 0.25);
    }

    void knownFigures()
    {
        // w = {3, 4}, ŵ = {3, 3}: worked out by hand.
        ErrorAccumulator accumulator(2, 1.0);
        std::vector<float> row(1);
        accumulator.add(std::vector<float> {3.0F, 4.0F}, std::vector<float> {3.0F, 3.0F}, row);
        accumulator.addClipped(1);
        const auto& error = accumulator.error();
        QCOMPARE(error.count, 2U);
        QCOMPARE(error.mse(), 0.5);
        QCOMPARE(error.relativeError(), 0.04);
        QVERIFY(close(error.sqnrDb(), 13.979400086720376, 1e-14));
        QVERIFY(close(error.cosine(), 21.0 / (5.0 * std::sqrt(18.0)), 1e-15));
        QCOMPARE(error.maxAbsError, 1.0);
        QCOMPARE(error.meanError(), 0.5);
        QCOMPARE(error.clippedRatio(), 0.5);
        QCOMPARE(row[0], 1.0F);
        QCOMPARE(accumulator.columnErrorEnergy(), (std::vector<float> {0.0F, 1.0F}));
        QCOMPARE(accumulator.histogram().counts[128], 1U);
        QCOMPARE(accumulator.histogram().counts[255], 1U);
    }

    void matchesASlowReference_data()
    {
        QTest::addColumn<std::size_t>("rows");
        QTest::addColumn<std::size_t>("columns");
        QTest::addColumn<double>("nonFinite");
        const std::size_t shapes[][2] = {{1, 1}, {1, 7}, {5, 1}, {3, 33}, {4, 1024}, {3, 4099}, {100, 64}};
        for (const auto& [rows, columns] : shapes)
            for (const double share : {0.0, 0.1, 1.0})
                QTest::addRow("%zux%zu nonfinite=%g", rows, columns, share) << rows << columns << share;
    }
    void matchesASlowReference()
    {
        QFETCH(const std::size_t, rows);
        QFETCH(const std::size_t, columns);
        QFETCH(const double, nonFinite);
        const auto pair = randomPair(rows, columns, 3, nonFinite);
        constexpr double range = static_cast<double>(0.003F);
        ErrorAccumulator accumulator(columns, range);
        std::vector<float> rowEnergy(rows);
        accumulator.add(pair.originals, pair.quantized, rowEnergy);

        // Column by column, in long double: nothing in common with the accumulator's order.
        long double signal = 0, quantized = 0, energy = 0, dot = 0, sum = 0, largest = 0;
        std::vector<long double> rowSums(rows), columnSums(columns);
        std::uint64_t finite = 0, under = 0, over = 0;
        for (std::size_t column = 0; column < columns; ++column)
            for (std::size_t row = 0; row < rows; ++row) {
                const long double w = pair.originals[row * columns + column],
                                  q = pair.quantized[row * columns + column];
                if (!std::isfinite(w))
                    continue;
                ++finite;
                signal += w * w;
                quantized += q * q;
                dot += w * q;
                energy += (w - q) * (w - q);
                sum += w - q;
                largest = std::max(largest, std::abs(w - q));
                rowSums[row] += (w - q) * (w - q);
                columnSums[column] += (w - q) * (w - q);
                under += w - q < -static_cast<long double>(range) ? 1U : 0U;
                over += w - q > static_cast<long double>(range) ? 1U : 0U;
            }
        const auto& error = accumulator.error();
        QCOMPARE(error.count, finite);
        QCOMPARE(error.nonFinite, rows * columns - finite);
        QVERIFY(close(error.signalEnergy, static_cast<double>(signal), laneError));
        QVERIFY(close(error.quantizedEnergy, static_cast<double>(quantized), laneError));
        QVERIFY(close(error.dotProduct, static_cast<double>(dot), laneError));
        QVERIFY(close(error.errorEnergy, static_cast<double>(energy), laneError));
        QVERIFY(std::abs(error.errorSum - static_cast<double>(sum))
            <= laneError * std::sqrt(static_cast<double>(energy) * static_cast<double>(finite)));
        QVERIFY(close(error.maxAbsError, static_cast<double>(largest), 1e-7));
        for (std::size_t row = 0; row < rows; ++row)
            QVERIFY(close(static_cast<double>(rowEnergy[row]), static_cast<double>(rowSums[row]), laneError));
        const auto columnEnergy = accumulator.columnErrorEnergy();
        for (std::size_t column = 0; column < columns; ++column)
            QVERIFY(
                close(static_cast<double>(columnEnergy[column]), static_cast<double>(columnSums[column]), laneError));
        QCOMPARE(accumulator.histogram().total(), finite);
        QCOMPARE(accumulator.histogram().underflow, under);
        QCOMPARE(accumulator.histogram().overflow, over);
    }

    void mergesPieces()
    {
        const auto pair = randomPair(8, 96, 5, 0.02);
        const std::span<const float> w = pair.originals, q = pair.quantized;
        std::vector<float> rows(8), piecewise(8);
        constexpr double range = 0x1p-8;
        ErrorAccumulator whole(96, range), first(96, range), second(96, range);
        whole.add(w, q, rows);
        first.add(w.first(3 * 96), q.first(3 * 96), std::span(piecewise).first(3));
        second.add(w.subspan(3 * 96), q.subspan(3 * 96), std::span(piecewise).subspan(3));
        first.addClipped(2);
        second.addClipped(3);
        first += second;
        QCOMPARE(piecewise, rows);
        QVERIFY(first.histogram() == whole.histogram());
        QCOMPARE(first.error().count, whole.error().count);
        QCOMPARE(first.error().clipped, 5U);
        QVERIFY(close(first.error().errorEnergy, whole.error().errorEnergy, 1e-12));
        QCOMPARE(first.error().maxAbsError, whole.error().maxAbsError);
    }
};

QTEST_APPLESS_MAIN(TestErrorStatistics)
#include "tst_error_statistics.moc"
