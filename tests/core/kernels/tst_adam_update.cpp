// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/adam_update.h"
#include "tests/support/kernel_sweep.h"

using namespace quantloupe;
using namespace quantloupe::tests;

class TestAdamUpdate : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void targets_data() { addTargetRows({0, 1, 3, 4, 7, 8, 17, 100}); }

    /// Three steps, each on what the one before left: the same bits on every instruction set.
    void targets()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        Samples parameters(count, shift, Content::Weights, 1), first(count, shift, Content::Weights, 2),
            second(count, shift, Content::Weights, 3);
        for (float& value : second.values())
            value *= value;
        auto expected = parameters, expectedFirst = first, expectedSecond = second;
        for (int step = 1; step <= 3; ++step) {
            const Samples gradient(count, shift, Content::Weights, unsigned(10 + step));
            const kernels::AdamFactors factors {.firstBias = 1.0 - std::pow(0.9, step),
                .secondBias = 1.0 - std::pow(0.99, step),
                .rate = 1e-3,
                .weightDecay = 0.01};
            kernels::adamUpdate(parameters.values(), gradient.values(), first.values(), second.values(), factors);
            kernels::adamUpdateReference(
                expected.values(), gradient.values(), expectedFirst.values(), expectedSecond.values(), factors);
        }
        const auto differ = [](const Samples& a, const Samples& b) { return firstDifference(a.values(), b.values()); };
        QCOMPARE(differ(parameters, expected), std::ptrdiff_t {-1});
        QCOMPARE(differ(first, expectedFirst), std::ptrdiff_t {-1});
        QCOMPARE(differ(second, expectedSecond), std::ptrdiff_t {-1});
    }
};

QTEST_APPLESS_MAIN(TestAdamUpdate)
#include "tst_adam_update.moc"
