// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/power_error.h"
#include "tests/support/kernel_sweep.h"

using namespace quantloupe;
using namespace quantloupe::tests;

class TestPowerError : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void matchesReference_data() { addTargetRows({1, 7, 8, 32, 33, 100, 1024, 1025, 5000}); }
    void matchesReference()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        const auto columns = std::size_t(count);
        for (const float size : {1.0F, 1e-30F, 1e30F}) {
            Samples originals(count * 2, shift, Content::Weights);
            Samples quantized(count * 2, shift, Content::Weights, 2);
            for (std::size_t i = 0; i < originals.values().size(); ++i) {
                originals.values()[i] *= size;
                quantized.values()[i] *= size;
                if (i % 7 == 0)
                    quantized.values()[i] = originals.values()[i];  // no error
                if (i % 11 == 0)
                    originals.values()[i] = i % 2 ? HUGE_VALF : std::nanf("");
            }
            const kernels::UnitShape shape {columns, std::min<std::size_t>(128, columns)};
            const std::vector<float> factors(2 * shape.unitsPerRow(), kernels::powerErrorFactor(0.1F * size));
            std::vector<double> sums(factors.size()), expected(factors.size());
            const std::span<const float> w = std::as_const(originals).values(), q = std::as_const(quantized).values();
            kernels::powerErrorsOfUnits(w, q, shape, factors, sums);
            kernels::powerErrorsOfUnitsReference(w, q, shape, factors, expected);
            for (std::size_t u = 0; u < sums.size(); ++u)
                QVERIFY2(std::abs(sums[u] - expected[u]) <= 2e-6 * expected[u],
                    qPrintable(QString("%1 %2").arg(sums[u], 0, 'g', 12).arg(expected[u], 0, 'g', 12)));
        }
    }

    // The power itself over all exponents that a scaled error can have.
    void onePower()
    {
        const float zero = 0.0F, factor = 1.0F;
        for (int exponent = -50; exponent <= 1; ++exponent)
            for (int step = 0; step < 64; ++step) {
                const float x = std::ldexp(1.0F + float(step) / 64.0F, exponent);
                double sum = 0.0;
                kernels::powerErrorsOfUnits({&x, 1}, {&zero, 1}, {1, 1}, {&factor, 1}, {&sum, 1});
                const double expected = std::pow(double(x), 2.4);
                QVERIFY(std::abs(sum - expected) <= 4e-7 * expected);
            }
    }

    void factors()
    {
        QCOMPARE(kernels::powerErrorFactor(0.0F), 1.0F);
        QCOMPARE(kernels::powerErrorFactor(1.0F), 1.0F);
        QCOMPARE(kernels::powerErrorFactor(0.3F), 4.0F);
        for (const float absMax : {1e-45F, 1e-38F, 1e-20F, 0.02F, 7.0F, 3.4e38F}) {
            const float scaled = absMax * kernels::powerErrorFactor(absMax);
            QVERIFY(absMax < 1e-38F ? scaled > 0.0F : scaled >= 1.0F && scaled < 4.0F);
        }
    }
};

QTEST_APPLESS_MAIN(TestPowerError)
#include "tst_power_error.moc"
