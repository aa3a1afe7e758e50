// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/dense_algebra.h"

#include <QTest>

#include <cmath>
#include <random>
#include <vector>

using namespace quantloupe::kernels;

class TestDenseAlgebra : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void agreesWithScalarLoops_data()
    {
        QTest::addColumn<int>("rows");
        QTest::addColumn<int>("inner");
        QTest::addColumn<int>("columns");
        QTest::addColumn<int>("padding");
        QTest::newRow("one") << 1 << 1 << 1 << 0;
        QTest::newRow("row") << 1 << 172 << 64 << 0;
        QTest::newRow("odd") << 7 << 13 << 5 << 3;
        QTest::newRow("tile") << 128 << 64 << 172 << 0;
        QTest::newRow("strided") << 65 << 8 << 300 << 56;
        QTest::newRow("nothing") << 0 << 4 << 4 << 0;
    }

    void agreesWithScalarLoops()
    {
        QFETCH(const int, rows);
        QFETCH(const int, inner);
        QFETCH(const int, columns);
        QFETCH(const int, padding);
        const auto m = std::size_t(rows), k = std::size_t(inner), n = std::size_t(columns), pad = std::size_t(padding);
        const auto a = numbers((m + 1) * (k + pad), 1);
        const auto transposed = numbers(n * (k + pad), 2);
        const auto b = numbers(k * (n + pad), 3);
        std::vector<float> byTransposed((m + 1) * (n + pad), 7.0F), plain = byTransposed;
        multiplyByTransposed(
            {a.data(), m, k, k + pad}, {transposed.data(), n, k, k + pad}, {byTransposed.data(), m, n, n + pad}, 0.5F);
        multiply({a.data(), m, k, k + pad}, {b.data(), k, n, n + pad}, {plain.data(), m, n, n + pad});
        for (std::size_t i = 0; i < m; ++i)
            for (std::size_t j = 0; j < n; ++j) {
                double first = 0.0, second = 0.0, size = 0.0;
                for (std::size_t p = 0; p < k; ++p) {
                    const double x = a[i * (k + pad) + p];
                    first += 0.5 * x * double(transposed[j * (k + pad) + p]);
                    second += x * double(b[p * (n + pad) + j]);
                    size += std::abs(x) * 4.0;
                }
                QVERIFY(std::abs(double(byTransposed[i * (n + pad) + j]) - first) <= 1e-6 * size);
                QVERIFY(std::abs(double(plain[i * (n + pad) + j]) - second) <= 1e-6 * size);
            }
        for (std::size_t i = 0; i < m * (n + pad); ++i)  // what lies between the rows is none of the product's
            if (i % (n + pad) >= n)
                QVERIFY(byTransposed[i] == 7.0F && plain[i] == 7.0F);
    }

private:
    static std::vector<float> numbers(std::size_t count, unsigned seed)
    {
        std::mt19937 random(seed);
        std::normal_distribution<float> normal;
        std::vector<float> made(count);
        for (auto& number : made)
            number = normal(random);
        return made;
    }
};

QTEST_APPLESS_MAIN(TestDenseAlgebra)
#include "tst_dense_algebra.moc"
