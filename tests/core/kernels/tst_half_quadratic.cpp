// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/half_quadratic.h"
#include "core/kernels/ranges.h"
#include "tests/support/kernel_sweep.h"

#include <cstring>

using namespace quantloupe;
using namespace quantloupe::tests;

class TestHalfQuadratic : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void matchesReference_data() { addTargetRows({1, 7, 8, 31, 64, 100, 129}); }
    void matchesReference()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        const auto columns = std::size_t(count);
        for (const Content content : {Content::Weights, Content::Awkward})
            for (const float loudness : {1.0F, 100.0F}) {  // the power is needed for loud weights alone
                Samples samples(2 * count, shift, content);
                for (float& weight : samples.values())
                    weight = std::abs(weight) < 1e30F ? weight * loudness : weight;
                const std::span<const float> weights = samples.values();
                for (const float highest : {3.0F, 15.0F, 255.0F, 65535.0F})
                    for (const std::size_t length : {std::size_t(32), columns}) {
                        const kernels::UnitShape shape {columns, length};
                        std::vector<kernels::FiniteRange> ranges(2 * shape.unitsPerRow());
                        kernels::rangesOfUnits(weights, shape, ranges);
                        std::vector<float> inverses, zeros;
                        for (const auto& range : ranges) {
                            const float width = range.empty() ? 0.0F : range.maximum - range.minimum;
                            const bool usable = width > 0.0F && range.absMax() <= 0x1p120F;
                            const float inverse = usable ? std::min(highest / width, 2e4F) : 0.0F;
                            inverses.push_back(inverse);
                            zeros.push_back(-range.minimum * inverse);
                        }
                        std::vector<float> expected = zeros;
                        const auto sums = kernels::halfQuadraticZeros(weights, shape, highest, 20, inverses, zeros);
                        const auto expectedSums =
                            kernels::halfQuadraticZerosReference(weights, shape, highest, 20, inverses, expected);
                        QCOMPARE(sums.count, expectedSums.count);
                        for (std::size_t u = 0; u < zeros.size(); ++u)
                            QVERIFY(inverses[u] == 0.0F || std::isfinite(zeros[u]));
                        QCOMPARE(firstDifference(zeros, expected), -1);
                        QCOMPARE(std::memcmp(&sums.absError, &expectedSums.absError, sizeof sums.absError), 0);
                    }
            }
    }

    // By hand: codes 0, 1, 1 at 0, 0.4, 0.6 for inverse 2 and zero 0 (0.8 and 1.2 round to 1); the errors are small, so
    // the zero point becomes the mean of q − 2w: (0 + 0.2 − 0.2)/3.
    void oneIteration()
    {
        const std::vector<float> weights {0.0F, 0.4F, 0.6F, std::nanf("")};
        const std::vector<float> inverses {2.0F};
        std::vector<float> zeros {0.0F};
        const auto sums = kernels::halfQuadraticZeros(weights, {4, 4}, 1.0F, 1, inverses, zeros);
        QCOMPARE(sums.count, std::uint64_t(3));
        QVERIFY(std::abs(zeros[0]) < 1e-7F);
        QVERIFY(std::abs(sums.absError[0] - 0.2) < 1e-6);
        QCOMPARE(sums.absError[1], 0.0);
    }

    // A large error survives the shrinkage: w = 10, code 1, ŵ = 1, e = 9; wₑ = 9 − 9^−0.3/10, and the zero point is
    // that of one weight, 1 − (10 − wₑ).
    void shrinks()
    {
        const std::vector<float> weights {10.0F};
        std::vector<float> zeros {0.0F};
        kernels::halfQuadraticZeros(weights, {1, 1}, 1.0F, 1, std::vector<float> {1.0F}, zeros);
        QVERIFY(std::abs(zeros[0] - float(1.0 - (10.0 - (9.0 - std::pow(9.0, -0.3) / 10.0)))) < 1e-6F);
    }
};

QTEST_APPLESS_MAIN(TestHalfQuadratic)
#include "tst_half_quadratic.moc"
