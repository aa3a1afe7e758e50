// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/exponentials.h"
#include "tests/support/kernel_sweep.h"

#include <algorithm>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// Weights times `size`: of every sign, with both ends far out.
Samples spread(int count, int shift, float size, unsigned seed)
{
    Samples samples(count, shift, Content::Weights, seed);
    for (float& value : samples.values())
        value *= size;
    return samples;
}

/// Index of the first that is farther from what is expected than a share of that and `floor`; −1: none.
template<class Number>
std::ptrdiff_t firstFar(std::span<const Number> found, std::span<const Number> expected, double share, double floor)
{
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const auto wanted = double(expected[i]);
        if (!(std::abs(double(found[i]) - wanted) <= share * std::abs(wanted) + floor))
            return std::ptrdiff_t(i);
    }
    return -1;
}

}  // namespace

class TestExponentials : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void targets_data() { addTargetRows({1, 2, 3, 4, 7, 8, 17, 100}); }

    void targets()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        for (const float size : {1.0F, 100.0F, 2000.0F}) {
            auto found = spread(count, shift, size, 1), expected = found;
            std::vector<double> probabilities(std::size_t(count) + std::size_t(shift)), slow(probabilities);
            const auto some = std::span(probabilities).subspan(std::size_t(shift));
            const double sum = kernels::logSoftmax(found.values(), some);
            const double slowSum =
                kernels::logSoftmaxReference(found.values(), std::span(slow).subspan(std::size_t(shift)));
            QVERIFY(std::abs(sum - slowSum) <= 1e-14 * std::max(1.0, std::abs(slowSum)));
            QCOMPARE(firstFar<double>(probabilities, slow, 1e-14, 0.0), std::ptrdiff_t {-1});
            kernels::softmax(found.values());
            kernels::softmaxReference(expected.values());
            const double distances = 2.0 * 4.0 * 0.02 * double(size) * 0x1p-24;  // as they are rounded
            QCOMPARE(
                firstFar<float>(found.values(), expected.values(), 4e-7 + distances, 1.2e-38), std::ptrdiff_t {-1});

            const auto x = spread(count, shift, size, 2), up = spread(count, shift, 50.0F, 3),
                       given = spread(count, shift, 50.0F, 4);
            for (const bool gated : {true, false}) {
                const auto gates = gated ? up.values() : std::span<const float>();
                auto result = x, slowResult = x, byUp = up, slowByUp = up;
                kernels::silu(x.values(), gates, result.values());
                kernels::siluReference(x.values(), gates, slowResult.values());
                QCOMPARE(firstFar<float>(result.values(), slowResult.values(), 6e-7, 1e-35), std::ptrdiff_t {-1});
                const auto gatesBack = gated ? byUp.values() : std::span<float>(),
                           slowBack = gated ? slowByUp.values() : std::span<float>();
                kernels::siluBackward(x.values(), gates, given.values(), result.values(), gatesBack);
                kernels::siluBackwardReference(x.values(), gates, given.values(), slowResult.values(), slowBack);
                QCOMPARE(firstFar<float>(gatesBack, slowBack, 6e-7, 1e-35), std::ptrdiff_t {-1});
                // The slope passes through 0 near −1.28, where terms cancel that are as large as x.
                for (std::size_t i = 0; i < x.values().size(); ++i) {
                    const float by = given.values()[i] * (gated ? up.values()[i] : 1.0F);
                    QVERIFY(std::abs(result.values()[i] - slowResult.values()[i])
                        <= 6e-7F * std::abs(by) * std::max(1.0F, std::abs(x.values()[i])));
                }
            }
        }
    }

    void ends_data() { addTargetRows({9}); }

    /// What is far below is 0, what is no number stays none, and what is too large does not wrap around.
    void ends()
    {
        QFETCH(const qint64, target);
        const TargetScope scope(target);
        std::vector<float> values {3.0F, -1000.0F, -85.0F, -kInfinity, 3.0F, -84.2F, 0.0F, 2.0F, 1.0F};
        kernels::softmax(values);
        QCOMPARE(values[1], 0.0F);
        QCOMPARE(values[2], 0.0F);
        QCOMPARE(values[3], 0.0F);
        QCOMPARE(values[0], values[4]);
        QVERIFY(values[5] > 0.0F);
        const std::vector<float> x {-1e30F, -120.0F, -89.0F, 89.0F, 1e30F, 0.0F, -0.0F, std::nanf(""), 100.0F};
        std::vector<float> result(x.size());
        kernels::silu(x, {}, result);
        for (const std::size_t i : {3U, 4U, 8U})
            QCOMPARE(result[i], x[i]);
        QVERIFY(result[0] == 0.0F && result[1] == 0.0F && result[2] == 0.0F && result[5] == 0.0F);
        const std::vector<float> ones(x.size(), 1.0F);
        std::vector<float> slopes(x.size());
        kernels::siluBackward(x, {}, ones, slopes, {});
        QVERIFY(slopes[0] == 0.0F && slopes[1] == 0.0F && slopes[2] == 0.0F && slopes[4] == 1.0F);
        QVERIFY(std::isnan(result[7]));
        for (const float bad : {std::nanf(""), kInfinity}) {
            auto broken = x;
            std::fill(broken.begin(), broken.end(), 1.0F);
            for (std::size_t place = 0; place < broken.size(); ++place) {
                auto some = broken;
                some[place] = bad;
                std::vector<double> probabilities(some.size());
                QVERIFY(!std::isfinite(kernels::logSoftmax(some, probabilities)));
                kernels::softmax(some);
                QVERIFY(std::isnan(some[place]));
            }
        }
    }
};

QTEST_APPLESS_MAIN(TestExponentials)
#include "tst_exponentials.moc"
