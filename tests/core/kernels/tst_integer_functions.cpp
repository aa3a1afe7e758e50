// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/integer_functions.h"
#include "tests/support/kernel_sweep.h"

#include <algorithm>
#include <numeric>

using namespace quantloupe;

class TestIntegerFunctions : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void exponential()
    {
        double largest = 0.0;
        for (std::int32_t score = 0; score > -40'000; --score) {
            const double exact = std::exp(std::ldexp(double(score), -kernels::scoreFractionBits));
            largest = std::max(largest, std::abs(double(kernels::integerExp(score)) * kernels::integerExpUnit - exact));
        }
        // 1.9e-3 by the paper for the polynomial, and what whole numbers add: a thousandth for ln 2, b and c.
        QVERIFY2(largest < 3e-3, qPrintable(QString::number(largest)));
        QVERIFY(largest > 1e-3);
        QCOMPARE(kernels::integerExp(std::numeric_limits<std::int32_t>::min()), 0);
    }

    void squareRoots()
    {
        std::mt19937_64 random(2);
        const auto isRoot = [](std::uint64_t n) {
            const auto root = kernels::integerSquareRoot(n);
            return root * root <= n && (root + 1) * (root + 1) > n;
        };
        for (std::uint64_t n = 0; n < 70'000; ++n)
            QVERIFY(isRoot(n));
        for (int i = 0; i < 20'000; ++i)
            QVERIFY(isRoot(random() >> (2 + random() % 60)));
        for (std::uint64_t root = (std::uint64_t {1} << 31) - 100; root < std::uint64_t {1} << 31; ++root)
            QVERIFY(isRoot(root * root) && isRoot(root * root - 1) && isRoot(root * root + 1));
    }

    void softmaxIsThatOfTheReference_data() { tests::addTargetRows({0, 1, 3, 8, 31, 512, 4'000}); }
    void softmaxIsThatOfTheReference()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        std::mt19937 random(9);
        for (const unsigned spread : {1U, 700U, 20'000U, 1U << 30U}) {
            std::vector<std::int32_t> scores(std::size_t(count + shift));
            for (auto& score : scores)
                score = std::int32_t(random() % spread) - std::int32_t(spread / 2);
            const auto own = std::span<const std::int32_t>(scores).subspan(std::size_t(shift));
            std::vector<std::int32_t> found(own.size(), 7), expected(own.size(), 8);
            {
                const tests::TargetScope scope(target);
                kernels::integerSoftmax(own, found);
            }
            kernels::integerSoftmaxReference(own, expected);
            QVERIFY(found == expected);
        }
    }

    /// Every distance there is, so that the division by ln 2 is right at each.
    void everyExponent_data()
    {
        QTest::addColumn<qint64>("target");
        for (const auto target : hwy::SupportedAndGeneratedTargets())
            QTest::addRow("%s", hwy::TargetName(target)) << qint64(target);
    }
    void everyExponent()
    {
        QFETCH(const qint64, target);
        std::vector<std::int32_t> scores(23'000), found(scores.size()), expected(scores.size());
        std::iota(scores.begin(), scores.end(), 5 - 23'000);
        {
            const tests::TargetScope scope(target);
            kernels::integerSoftmax(scores, found);
        }
        kernels::integerSoftmaxReference(scores, expected);
        QVERIFY(found == expected);
    }

    void softmaxIsNearTheExact()
    {
        std::mt19937 random(4);
        std::normal_distribution<double> normal(0.0, 3.0);
        double largest = 0.0;
        for (int run = 0; run < 50; ++run) {
            std::vector<std::int32_t> scores(300), found(300);
            std::vector<double> exact;
            for (auto& score : scores) {
                score = std::int32_t(std::lround(std::ldexp(normal(random), kernels::scoreFractionBits)));
                exact.push_back(std::exp(std::ldexp(double(score), -kernels::scoreFractionBits)));
            }
            kernels::integerSoftmax(scores, found);
            const double sum = std::accumulate(exact.begin(), exact.end(), 0.0);
            double total = 0.0;
            for (std::size_t i = 0; i < scores.size(); ++i) {
                const double probability = std::ldexp(double(found[i]), -kernels::probabilityFractionBits);
                largest = std::max(largest, std::abs(probability - exact[i] / sum));
                total += probability;
            }
            QVERIFY(total <= 1.0 && total > 1.0 - 300 * 0x1p-23);
        }
        QVERIFY2(largest < 2e-3, qPrintable(QString::number(largest)));
    }

    void normalizes_data()
    {
        QTest::addColumn<bool>("centered");
        QTest::addColumn<double>("mean");
        QTest::addColumn<double>("deviation");
        QTest::addColumn<int>("epsilon");
        for (const bool centered : {false, true})
            for (const double mean : {0.0, 700.0})
                for (const double deviation : {20.0, 4'000.0})
                    for (const int epsilon : {0, 300})
                        QTest::addRow("%s mean %g deviation %g epsilon %d", centered ? "centered" : "as it is", mean,
                            deviation, epsilon)
                            << centered << mean << deviation << epsilon;
    }
    void normalizes()
    {
        QFETCH(const bool, centered);
        QFETCH(const double, mean);
        QFETCH(const double, deviation);
        QFETCH(const int, epsilon);
        std::mt19937 random(8);
        std::normal_distribution<double> normal(mean, deviation);
        std::vector<std::int16_t> values(257);
        for (auto& value : values)
            value = std::int16_t(std::clamp(normal(random), -32767.0, 32767.0));
        std::vector<std::int32_t> found(values.size());
        kernels::integerNormalize(values, centered, epsilon, found);
        const double middle =
            centered ? std::accumulate(values.begin(), values.end(), 0.0) / double(values.size()) : 0.0;
        double squares = 0.0;
        for (const double value : values)
            squares += (value - middle) * (value - middle);
        const double root = std::sqrt(squares / double(values.size()) + epsilon);
        for (std::size_t i = 0; i < values.size(); ++i) {
            const double exact = (double(values[i]) - middle) / root;
            const double value = std::ldexp(double(found[i]), -kernels::normalizedFractionBits);
            // The root is rounded down to 2⁻⁸ and a mean to a whole number, the result to its last place.
            const double bound = std::abs(exact) * 0x1.8p-8 / root + (centered ? 0.5 / root : 0.0) + 0x1p-12;
            QVERIFY2(std::abs(value - exact) <= bound, qPrintable(QString("%1 %2").arg(value).arg(exact)));
        }
    }

    void normalizesNothing()
    {
        const std::vector<std::int16_t> same(8, 5), zeros(8, 0);
        std::vector<std::int32_t> found(8, 3);
        kernels::integerNormalize(same, true, 0, found);
        QVERIFY(found == std::vector<std::int32_t>(8, 0));
        found.assign(8, 3);
        kernels::integerNormalize(zeros, false, 0, found);
        QVERIFY(found == std::vector<std::int32_t>(8, 0));
    }
};

QTEST_APPLESS_MAIN(TestIntegerFunctions)
#include "tst_integer_functions.moc"
