// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/norm_rows.h"
#include "tests/support/kernel_sweep.h"

#include <algorithm>

using namespace quantloupe;
using namespace quantloupe::tests;

class TestNormRows : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void targets_data() { addTargetRows({1, 2, 3, 4, 7, 8, 17, 100}); }

    /// Sums in double come in another order: what follows from them is off by a last place of float at most.
    void targets()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        const Samples x(count, shift, Content::Weights, 1), weight(count, shift, Content::Weights, 2),
            given(count, shift, Content::Weights, 3);
        for (const kernels::NormScale wished : {kernels::NormScale {}, {.one = 1.0F}, {.centers = true, .one = 1.0F}}) {
            const auto scale = kernels::normScaleOf(x.values(), 1e-6, wished);
            const auto slow = kernels::normScaleOfReference(x.values(), 1e-6, wished);
            QVERIFY(std::abs(scale.mean - slow.mean) <= 1e-16 && scale.centers == wished.centers);
            QVERIFY(std::abs(scale.scale - slow.scale) <= 1e-12 * slow.scale && scale.one == wished.one);
            auto result = x, expected = x;
            kernels::normalize(x.values(), scale, weight.values(), result.values());
            kernels::normalizeReference(x.values(), scale, weight.values(), expected.values());
            QCOMPARE(firstDifference<float>(result.values(), expected.values()), std::ptrdiff_t {-1});

            auto back = given, slowBack = given;
            std::vector<double> byWeight(std::size_t(count), 0.5), slowByWeight = byWeight;
            kernels::normalizeBackward(x.values(), scale, weight.values(), given.values(), back.values(), byWeight);
            kernels::normalizeBackwardReference(
                x.values(), scale, weight.values(), given.values(), slowBack.values(), slowByWeight);
            for (std::size_t i = 0; i < byWeight.size(); ++i) {
                QVERIFY(std::abs(byWeight[i] - slowByWeight[i]) <= 1e-14);
                QVERIFY(std::abs(back.values()[i] - slowBack.values()[i])
                    <= 2.4e-7F * std::max(std::abs(slowBack.values()[i]), float(scale.scale) * 0.1F));
            }
        }
        auto softmax = given, slowSoftmax = given;
        kernels::softmaxBackward(x.values(), softmax.values());
        kernels::softmaxBackwardReference(x.values(), slowSoftmax.values());
        for (std::size_t i = 0; i < softmax.values().size(); ++i)
            QVERIFY(std::abs(softmax.values()[i] - slowSoftmax.values()[i]) <= 1e-8F * std::abs(x.values()[i]));
    }

    /// In place, as heads are normed.
    void inPlace()
    {
        const Samples x(19, 0, Content::Weights, 1), weight(19, 0, Content::Weights, 2);
        const auto scale = kernels::normScaleOf(x.values(), 1e-6, {});
        auto other = x, same = x;
        kernels::normalize(x.values(), scale, weight.values(), other.values());
        kernels::normalize(same.values(), scale, weight.values(), same.values());
        QCOMPARE(firstDifference<float>(same.values(), other.values()), std::ptrdiff_t {-1});
    }
};

QTEST_APPLESS_MAIN(TestNormRows)
#include "tst_norm_rows.moc"
