// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/error_sums.h"
#include "tests/support/kernel_sweep.h"

using namespace quantloupe;
using namespace quantloupe::tests;
using kernels::ErrorSums;

namespace {

// Each sum against the sizes of its terms: float lanes of up to 1,024 terms (scalar target) and a fused product.
bool close(double actual, double expected, double sizes)
{
    return actual == expected || std::abs(actual - expected) <= 0x1p-24 * (1024 + 8) * sizes;
}

bool agree(const ErrorSums& a, const ErrorSums& b, std::size_t n)
{
    const double errorSizes = std::sqrt(double(n) * b.errorEnergy);  // ≥ Σ|e|
    return a.count == b.count && a.maxAbsError == b.maxAbsError && close(a.signalEnergy, b.signalEnergy, b.signalEnergy)
        && close(a.quantizedEnergy, b.quantizedEnergy, b.quantizedEnergy)
        && close(a.errorEnergy, b.errorEnergy, b.errorEnergy)
        && close(a.dotProduct, b.dotProduct, std::sqrt(b.signalEnergy * b.quantizedEnergy))
        && close(a.errorSum, b.errorSum, errorSizes);
}

}  // namespace

class TestErrorSums : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void matchesReference_data() { addTargetRows({0, 1, 7, 8, 9, 31, 33, 511, 512, 1023, 1024, 1025, 3000}); }
    void matchesReference()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        // Sizes whose squares leave float's range, both ways.
        for (const float size : {1.0F, 1e-25F, 1e-42F, 1e25F, 0.0F})
            for (const bool broken : {false, true}) {
                Samples originals(count * 3, shift, Content::Weights);
                Samples quantized(count * 3, shift, Content::Weights, 2);
                for (std::size_t i = 0; i < originals.values().size(); ++i) {
                    float& w = originals.values()[i];
                    float& q = quantized.values()[i];
                    w *= size;
                    q = w + 0.05F * q * size;
                    if (broken && i % 5 == 0)
                        w = i % 3 ? -HUGE_VALF : std::nanf("");
                }
                const std::span<const float> w = std::as_const(originals).values(),
                                             q = std::as_const(quantized).values();
                const ErrorSums expected = kernels::errorSumsReference(w, q);
                QVERIFY(agree(kernels::errorSums(w, q), expected, w.size()));

                const auto exact = kernels::exactErrorEnergies(w, q, -0.02F * size, 0.03F * size);
                const auto sums = kernels::exactErrorEnergiesReference(w, q, -0.02F * size, 0.03F * size);
                QVERIFY(isSameNumber(exact.inside, sums.inside) && isSameNumber(exact.beyond, sums.beyond));
                QVERIFY(close(exact.inside + exact.beyond, expected.errorEnergy, expected.errorEnergy));
                double beyond = 0.0;
                for (std::size_t i = 0; i < w.size(); ++i)
                    if (std::isfinite(w[i]) && (w[i] < -0.02F * size || w[i] > 0.03F * size))
                        beyond += (double(w[i]) - double(q[i])) * (double(w[i]) - double(q[i]));
                QVERIFY(std::abs(exact.beyond - beyond) <= 1e-12 * beyond);

                std::vector<float> columns(w.size(), 0.25F * size * size), errors(w.size()), expectedColumns(columns);
                QVERIFY(agree(kernels::errorProfile(w, q, columns, errors), expected, w.size()));
                for (std::size_t i = 0; i < w.size(); ++i) {
                    const float e = w[i] - q[i];
                    if (std::isfinite(w[i])) {
                        expectedColumns[i] += e * e;
                        QCOMPARE(std::bit_cast<quint32>(errors[i]), std::bit_cast<quint32>(e));
                    } else {
                        QVERIFY(std::isnan(errors[i]));
                    }
                }
                QCOMPARE(firstDifference(columns, expectedColumns), -1);
            }
    }

    void settles_data() { addTargetRows({1, 7, 8, 33, 1024}); }
    void settles()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        Samples recent(count, shift, Content::Weights);
        std::vector<double> totals(std::size_t(count), 1e-3), expected(totals);
        for (std::size_t i = 0; i < totals.size(); ++i)
            expected[i] += double(recent.values()[i]);
        kernels::settleSums(recent.values(), totals);
        QCOMPARE(totals, expected);
        QVERIFY(std::all_of(recent.values().begin(), recent.values().end(), [](float sum) { return sum == 0.0F; }));
        const std::vector<double> more(totals);
        for (std::size_t i = 0; i < totals.size(); ++i)
            expected[i] += more[i];
        kernels::addSums(more, totals);
        QVERIFY(totals == expected);
    }

    void losslessIsExact()
    {
        const Samples samples(1000, 0, Content::Weights);
        const ErrorSums sums = kernels::errorSums(samples.values(), samples.values());
        QCOMPARE(sums.errorEnergy, 0.0);
        QCOMPARE(sums.maxAbsError, 0.0);
        QCOMPARE(sums.signalEnergy, sums.quantizedEnergy);
        QCOMPARE(sums.count, std::uint64_t(1000));
    }
};

QTEST_APPLESS_MAIN(TestErrorSums)
#include "tst_error_sums.moc"
