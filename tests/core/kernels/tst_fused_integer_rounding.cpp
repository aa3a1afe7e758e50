// SPDX-License-Identifier: GPL-3.0-or-later
// Weights that products with a reciprocal would round otherwise than quotients.
#include "core/kernels/fused_integer.h"
#include "core/kernels/ranges.h"
#include "tests/support/fused_integer_outcome.h"
#include "tests/support/kernel_sweep.h"

using namespace quantloupe;
using namespace quantloupe::tests;

class TestFusedIntegerRounding : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    // Steps, errors and ranges whose squares are no normal numbers.
    void whatIsTinyIsExact_data() { addTargetRows({1024}); }
    void whatIsTinyIsExact()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        Samples samples(count, shift, Content::Weights);
        const auto tiny = samples.values().first(32);
        const auto isExact = [&](const kernels::IntegerScheme& scheme, float range) {
            const auto weights = std::as_const(samples).values();
            const auto actual = run(kernels::integerErrors, weights, scheme, range);
            const auto expected = run(kernels::integerErrorsReference, weights, scheme, range);
            return actual.counts == expected.counts && actual.below == expected.below && actual.above == expected.above
                && firstDifference(actual.columns, expected.columns) == -1;
        };
        for (const IntegerCase& of :
            {integerCases[3], integerCases[9], IntegerCase {"sym 12", IntegerRule::Symmetric, 12}})
            for (int k = 0; k < 40; ++k) {
                const float size = std::ldexp(1.0F + 0.013F * float(k), -59);
                const auto scheme = schemeOf(of, std::size_t(count), 32);
                const auto grid = kernels::integerGrid(of.rule, scheme.codes, -size, size);
                putTies(tiny, grid, scheme.codes);
                tiny[0] = -size;
                tiny[1] = size;
                QVERIFY2(isExact(scheme, 0x1p-59F), qPrintable(QString("%1, %2").arg(of.name).arg(k)));
            }
        for (std::size_t i = 2; i < tiny.size(); ++i)
            tiny[i] = i % 2 == 0 ? 0x1p-76F : -0x1p-79F;
        tiny[0] = -(tiny[1] = 0.5F);
        QVERIFY(isExact(schemeOf(integerCases[0], std::size_t(count), 32), 0x1p-77F));
    }

    void everyErrorIsExact_data() { addTargetRows({32, 333, 1024}); }
    void everyErrorIsExact()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        Samples samples(count, shift, Content::Weights);
        for (const IntegerCase& of : integerCases)
            for (const float offset : {0.0F, 3.0F, -0.5F}) {
                const auto scheme = schemeOf(of, std::size_t(count), std::size_t(count));
                samples.values()[0] = offset - 0.1F;
                samples.values()[1] = offset + 0.13F;
                const auto range = kernels::rangeOfReference(samples.values().first(2));
                putTies(samples.values(), kernels::integerGrid(of.rule, scheme.codes, range.minimum, range.maximum),
                    scheme.codes);
                const std::span<const float> weights = std::as_const(samples).values();
                // Of one row, columns hold e² and nothing else.
                const auto expected = run(kernels::integerErrorsReference, weights, scheme, 0.0F);
                const auto actual = run(kernels::integerErrors, weights, scheme, 0.0F);
                QVERIFY2(firstDifference(actual.columns, expected.columns) == -1, of.name);
                QVERIFY2(actual.clipped == expected.clipped, of.name);
            }
    }

    // The full symmetric range puts its largest weight on the middle between two steps, where a quotient rounds one way
    // and a product with the reciprocal may round the other.
    void extremesAreExact_data() { addTargetRows({32, 128, 333, 1100}); }
    void extremesAreExact()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        const auto columns = std::size_t(count);
        for (const int bits : {2, 3, 4, 8})
            for (int attempt = 0; attempt < 60; ++attempt) {
                const float size = 0.1F + 0.0013F * float(attempt);
                Samples samples(count, shift, Content::Weights);
                const auto weights = samples.values();
                for (float& weight : weights)
                    weight = std::clamp(weight, -0.99F * size, 0.99F * size);
                // At one end, at both, several times, and beside it.
                weights[3] = attempt % 2 == 0 ? size : -size;
                weights[columns / 2] = attempt % 3 == 0 ? -weights[3] : weights[3];
                weights[columns - 1] = attempt % 5 == 0 ? std::nextafter(weights[3], 0.0F) : weights[3];
                const auto scheme = schemeOf({"symf", IntegerRule::SymmetricFull, bits}, columns, columns);
                const float range = attempt % 7 == 0 ? 0.1F * size : size;
                const auto expected = run(kernels::integerErrorsReference, weights, scheme, range);
                const auto actual = run(kernels::integerErrors, weights, scheme, range);
                QVERIFY(firstDifference(actual.columns, expected.columns) == -1);
                QCOMPARE(actual.clipped, expected.clipped);
                QVERIFY(agree(actual, expected, 1));
            }
    }

    // A reciprocal that was lowered twice for the extreme rounds another weight the wrong way by as much as the proof
    // allows for.
    void loweredReciprocalsAreExact_data() { addTargetRows({32, 128}); }
    void loweredReciprocalsAreExact()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        for (const int bits : {2, 3, 4, 8, 12})
            for (int attempt = 0; attempt < 400; ++attempt) {
                Samples samples(count, shift, Content::Weights);
                const auto weights = samples.values();
                const float size = attempt == 0 ? 0x1.d4c9b6p+0F : 1.0F + 0.00213F * float(attempt);
                const auto scheme =
                    schemeOf({"symf", IntegerRule::SymmetricFull, bits}, weights.size(), weights.size());
                // Of one sign. Half of the largest is a middle between the last step and none; all others lie clear of
                // middles, or the unit would be done again for them.
                const float step = kernels::integerGrid(scheme.rule, scheme.codes, 0.0F, size).scale;
                for (std::size_t i = 0; i < weights.size(); ++i)
                    weights[i] = (float(i % 2) + 0.2F) * step;
                weights[0] = size;
                weights[1] = 0.5F * size;
                const auto expected = run(kernels::integerErrorsReference, weights, scheme, 0.0F);
                const auto actual = run(kernels::integerErrors, weights, scheme, 0.0F);
                QVERIFY(firstDifference(actual.columns, expected.columns) == -1);
                QCOMPARE(actual.clipped, expected.clipped);
            }
    }
};

QTEST_APPLESS_MAIN(TestFusedIntegerRounding)
#include "tst_fused_integer_rounding.moc"
