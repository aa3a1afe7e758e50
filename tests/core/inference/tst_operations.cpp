// SPDX-License-Identifier: GPL-3.0-or-later
// Each operation against its formula, written out in double.
#include "core/inference/attention.h"
#include "core/inference/operations.h"
#include "core/inference/rotary.h"
#include "core/kernels/exponentials.h"

#include <QTest>

#include <cmath>
#include <numbers>
#include <random>

using namespace quantloupe;

namespace {

std::vector<float> normalNumbers(std::size_t count, unsigned seed, float deviation = 1.0F)
{
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0F, deviation);
    std::vector<float> made(count);
    for (auto& number : made)
        number = normal(random);
    return made;
}

bool near(float value, double expected, double relative = 2e-6, double absolute = 2e-6)
{
    return std::abs(double(value) - expected) <= absolute + relative * std::abs(expected);
}

}  // namespace

class TestOperations : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    /// By integers: I-BERT's exponential is off by a third of a per cent, norms by what 16 bits and a root cost.
    void functionsInIntegers()
    {
        auto scores = normalNumbers(200, 11, 3.0F);
        auto exact = scores;
        kernels::softmax(exact);
        softmaxInIntegers(scores);
        for (std::size_t i = 0; i < scores.size(); ++i)
            QVERIFY(std::abs(scores[i] - exact[i]) < 0.002F);
        QVERIFY(scores != exact);
        constexpr std::size_t columns = 64;
        const auto x = normalNumbers(3 * columns, 12);
        const LoadedNorm norm {.weight = normalNumbers(columns, 13), .bias = normalNumbers(columns, 14)};
        for (const auto kind : {NormKind::Rms, NormKind::RmsPlusOne, NormKind::Layer}) {
            std::vector<float> expected(x.size()), found(x.size());
            NormRule rule = kind;
            normRows({x.data(), 3, columns, columns}, norm, rule, 1e-3, {expected.data(), 3, columns, columns});
            rule.inIntegers = true;
            normRows({x.data(), 3, columns, columns}, norm, rule, 1e-3, {found.data(), 3, columns, columns});
            QVERIFY(found != expected);
            for (std::size_t i = 0; i < x.size(); ++i) {
                const float weight = std::abs(norm.weight[i % columns]) + (kind == NormKind::RmsPlusOne ? 1.0F : 0.0F);
                QVERIFY(std::abs(found[i] - expected[i]) <= 6e-4F * weight + 1e-6F);
            }
        }
        std::vector<float> bad(columns, 1.0F);
        bad[3] = std::nanf("");
        NormRule rule;
        rule.inIntegers = true;
        normRows({bad.data(), 1, columns, columns}, norm, rule, 1e-3, {bad.data(), 1, columns, columns});
        QVERIFY(!allFinite(bad));
    }

    void norms_data()
    {
        QTest::addColumn<int>("kind");
        QTest::newRow("rms") << int(NormKind::Rms);
        QTest::newRow("one plus") << int(NormKind::RmsPlusOne);
        QTest::newRow("layer") << int(NormKind::Layer);
    }

    void norms()
    {
        QFETCH(const int, kind);
        constexpr std::size_t rows = 3, columns = 37;
        const auto x = normalNumbers(rows * columns, 1, 3.0F);
        const LoadedNorm norm {normalNumbers(columns, 2), normalNumbers(columns, 3)};
        std::vector<float> result(rows * columns);
        normRows(
            {x.data(), rows, columns, columns}, norm, NormKind(kind), 1e-3, {result.data(), rows, columns, columns});
        for (std::size_t row = 0; row < rows; ++row) {
            double mean = 0.0, square = 0.0;
            for (std::size_t i = 0; i < columns; ++i)
                mean += double(x[row * columns + i]) / columns;
            if (NormKind(kind) != NormKind::Layer)
                mean = 0.0;
            for (std::size_t i = 0; i < columns; ++i)
                square += std::pow(double(x[row * columns + i]) - mean, 2) / columns;
            for (std::size_t i = 0; i < columns; ++i) {
                const double weight = double(norm.weight[i]) + (NormKind(kind) == NormKind::RmsPlusOne ? 1.0 : 0.0);
                const double expected =
                    (double(x[row * columns + i]) - mean) / std::sqrt(square + 1e-3) * weight + double(norm.bias[i]);
                QVERIFY(near(result[row * columns + i], expected));
            }
        }
    }

    void headsAreNormedByThemselves()
    {
        auto values = normalNumbers(2 * 12, 4);
        const auto before = values;
        const LoadedNorm norm {{1.0F, 2.0F, 3.0F, 4.0F}, {}};
        normHeads({values.data(), 2, 12, 12}, 4, norm, NormKind::Rms, 0.0);
        for (std::size_t head = 0; head < 6; ++head) {
            double square = 0.0;
            for (std::size_t i = 0; i < 4; ++i)
                square += std::pow(double(before[head * 4 + i]), 2) / 4.0;
            for (std::size_t i = 0; i < 4; ++i)
                QVERIFY(near(values[head * 4 + i], double(before[head * 4 + i]) / std::sqrt(square) * double(i + 1)));
        }
    }

    void activations()
    {
        for (const float at : {-90.0F, -5.0F, -1.0F, -1e-3F, 0.0F, 0.3F, 2.0F, 7.5F, 90.0F}) {
            const double x = at;
            QVERIFY(near(activate(at, Activation::Silu), x / (1.0 + std::exp(-x))));
            QVERIFY(near(activate(at, Activation::Gelu), 0.5 * x * (1.0 + std::erf(x / std::numbers::sqrt2))));
            QVERIFY(near(activate(at, Activation::GeluTanh),
                0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / std::numbers::pi) * (x + 0.044715 * x * x * x)))));
        }
    }

    void gatesInPlace()
    {
        const auto gateUp = normalNumbers(3 * 10, 5);
        auto values = gateUp;
        activateRows({values.data(), 3, 10, 10}, true, Activation::Silu, {values.data(), 3, 5, 5});
        for (std::size_t row = 0; row < 3; ++row)
            for (std::size_t i = 0; i < 5; ++i)
                QVERIFY(near(values[row * 5 + i],
                    double(activate(gateUp[row * 10 + i], Activation::Silu)) * double(gateUp[row * 10 + 5 + i])));
    }

    void softmaxOfLargeNumbers()
    {
        std::vector<float> values {1000.0F, 999.0F, -1000.0F, 1000.0F};
        kernels::softmax(values);
        const double sum = 2.0 + std::exp(-1.0);
        QVERIFY(near(values[0], 1.0 / sum) && near(values[1], std::exp(-1.0) / sum));
        QCOMPARE(values[2], 0.0F);
        QCOMPARE(values[3], values[0]);
    }

    void softCaps()
    {
        std::vector<float> values {-200.0F, 0.5F, 40.0F};
        softCap(values, 30.0F);
        QVERIFY(near(values[0], 30.0 * std::tanh(-200.0 / 30.0)) && near(values[1], 30.0 * std::tanh(0.5 / 30.0))
            && near(values[2], 30.0 * std::tanh(40.0 / 30.0)));
    }

    void rotations_data()
    {
        QTest::addColumn<int>("kind");
        QTest::addColumn<int>("turned");
        QTest::newRow("halves") << int(PositionKind::Halves) << 8;
        QTest::newRow("pairs") << int(PositionKind::Pairs) << 8;
        QTest::newRow("part of a head") << int(PositionKind::Halves) << 4;
        QTest::newRow("pairs of a part") << int(PositionKind::Pairs) << 6;
    }

    void rotations()
    {
        QFETCH(const int, kind);
        QFETCH(const int, turned);
        const auto rotary = makeRotary({}, 500.0, std::size_t(turned), std::nullopt, {});
        QVERIFY(rotary);
        const auto table = rotaryTable(*rotary, 40);
        auto values = normalNumbers(2 * 16, 6);
        const auto before = values;
        rotateHeads({values.data(), 2, 16, 16}, 8, table, 30, PositionKind(kind));
        auto expected = std::vector<double>(before.begin(), before.end());
        for (std::size_t row = 0; row < 2; ++row)
            for (std::size_t head = 0; head < 2; ++head)
                for (std::size_t i = 0; 2 * i < std::size_t(turned); ++i) {
                    const double angle = double(30 + row) * std::pow(500.0, -2.0 * double(i) / turned);
                    const auto start = row * 16 + head * 8;
                    const auto a = start + (PositionKind(kind) == PositionKind::Pairs ? 2 * i : i);
                    const auto b = PositionKind(kind) == PositionKind::Pairs ? a + 1 : a + std::size_t(turned) / 2;
                    expected[a] = double(before[a]) * std::cos(angle) - double(before[b]) * std::sin(angle);
                    expected[b] = double(before[b]) * std::cos(angle) + double(before[a]) * std::sin(angle);
                }
        for (std::size_t i = 0; i < values.size(); ++i)
            QVERIFY(near(values[i], expected[i]));
    }

    void attention_data()
    {
        QTest::addColumn<int>("length");
        QTest::addColumn<int>("window");
        QTest::addColumn<double>("cap");
        QTest::newRow("one token") << 1 << 0 << 0.0;
        QTest::newRow("several tiles") << 150 << 0 << 0.0;
        QTest::newRow("window") << 150 << 9 << 0.0;
        QTest::newRow("window of one") << 70 << 1 << 0.0;
        QTest::newRow("window longer than the text") << 70 << 100 << 0.0;
        QTest::newRow("capped") << 70 << 0 << 2.0;
    }

    void attention()
    {
        QFETCH(const int, length);
        QFETCH(const int, window);
        QFETCH(const double, cap);
        constexpr std::size_t size = 6, stride = 20;
        const auto n = std::size_t(length);
        const auto joined = normalNumbers(n * stride, 7, 2.0F);
        std::vector<float> result(n * size);
        const kernels::ConstMatrix rows {joined.data(), n, stride, stride};
        const AttentionHead head {.queries = rows.columnRange(0, size),
            .keys = rows.columnRange(6, size),
            .values = rows.columnRange(12, size),
            .result = {result.data(), n, size, size},
            .scale = 0.4F,
            .cap = float(cap),
            .window = std::uint64_t(window)};
        for (std::size_t query = 0; query < n; query += queriesPerTile)
            attend(head, query, std::min(queriesPerTile, n - query));
        for (std::size_t q = 0; q < n; ++q) {
            std::vector<double> weights(n, 0.0);
            double sum = 0.0;
            for (std::size_t k = 0; k <= q; ++k) {
                if (window != 0 && q - k >= std::size_t(window))
                    continue;
                double score = 0.0;
                for (std::size_t i = 0; i < size; ++i)
                    score += 0.4 * double(joined[q * stride + i]) * double(joined[k * stride + 6 + i]);
                if (cap > 0.0)
                    score = cap * std::tanh(score / cap);
                weights[k] = std::exp(score);
                sum += weights[k];
            }
            for (std::size_t i = 0; i < size; ++i) {
                double expected = 0.0;
                for (std::size_t k = 0; k <= q; ++k)
                    expected += weights[k] / sum * double(joined[k * stride + 12 + i]);
                QVERIFY(near(result[q * size + i], expected, 1e-5, 1e-5));
            }
        }
    }
};

QTEST_APPLESS_MAIN(TestOperations)
#include "tst_operations.moc"
