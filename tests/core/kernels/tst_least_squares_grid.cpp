// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/least_squares_grid.h"
#include "tests/support/kernel_sweep.h"

using namespace quantloupe;
using kernels::GridFreedom;
using kernels::LeastSquaresSearch;

namespace {

constexpr std::size_t kUnits = 16;
const std::vector<double> kSpreads {-0.9, -0.45, 0.0, 0.3, 0.9};

double errorOf(const LeastSquaresSearch& search, std::span<const double> importance, std::span<const float> weights,
    std::size_t unit, double scale, double minimum)
{
    double sum = 0.0;
    for (std::size_t k = 0; k < importance.size(); ++k) {
        const double w = double(weights[k * kUnits + unit]);
        const double q = std::clamp(std::nearbyint((w - minimum) / scale), search.lowest, search.highest);
        sum += importance[k] * (w - scale * q - minimum) * (w - scale * q - minimum);
    }
    return sum;
}

}  // namespace

class TestLeastSquaresGrid : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void sameAsReference_data() { tests::addTargetRows({1, 2, 31, 64}); }
    void sameAsReference()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const tests::Samples samples(count * int(kUnits), shift, tests::Content::Weights);
        std::vector<double> importance;
        for (int k = 0; k < count; ++k)
            importance.push_back(k % 7 == 3 ? 0.0 : 0.1 + double(k % 5));
        for (const auto freedom : {GridFreedom::Scale, GridFreedom::ScaleAndZero, GridFreedom::ScaleAndMinimum}) {
            const LeastSquaresSearch search {freedom, freedom == GridFreedom::Scale ? 1.0 : 0.0, 7.0, 4.0, kSpreads, 4};
            const bool floating = freedom == GridFreedom::ScaleAndMinimum;
            std::vector<double> scales(kUnits, 0.03), minimums(kUnits, floating ? -0.06 : -0.12);
            auto expectedScales = scales, expectedMinimums = minimums;
            {
                const tests::TargetScope scope(target);
                kernels::leastSquaresGrids(search, importance, samples.values(), kUnits, scales, minimums);
            }
            kernels::leastSquaresGridsReference(
                search, importance, samples.values(), kUnits, expectedScales, expectedMinimums);
            for (std::size_t u = 0; u < kUnits; ++u) {
                QCOMPARE(std::bit_cast<std::uint64_t>(scales[u]), std::bit_cast<std::uint64_t>(expectedScales[u]));
                QCOMPARE(std::bit_cast<std::uint64_t>(minimums[u]), std::bit_cast<std::uint64_t>(expectedMinimums[u]));
                QVERIFY(scales[u] > 0.0);
                const double before = errorOf(search, importance, samples.values(), u, 0.03, floating ? -0.06 : -0.12);
                const double after = errorOf(search, importance, samples.values(), u, scales[u], minimums[u]);
                QVERIFY(after <= before * (1.0 + 1e-9) + 1e-15);
            }
        }
    }

    // Weights that lie on a grid are found to lie on it.
    void exactGrids()
    {
        std::vector<float> weights(15 * kUnits);
        for (std::size_t u = 0; u < kUnits; ++u)
            for (std::size_t k = 0; k < 15; ++k)
                weights[k * kUnits + u] = float(double(k % 8) * 0.25 * double(u + 1) - 0.5);
        const LeastSquaresSearch search {GridFreedom::ScaleAndMinimum, 0.0, 7.0, 4.0, kSpreads, 4};
        const std::vector<double> importance(15, 1.0);
        std::vector<double> scales(kUnits, 10.0), minimums(kUnits, 0.0);
        kernels::leastSquaresGrids(search, importance, weights, kUnits, scales, minimums);
        for (std::size_t u = 0; u < kUnits; ++u)
            QVERIFY(errorOf(search, importance, weights, u, scales[u], minimums[u]) < 1e-12);
    }

    // Nothing to go by: what was there stays.
    void nothingToImprove()
    {
        const std::vector<float> weights(4 * kUnits, 0.0F);
        const LeastSquaresSearch search {GridFreedom::ScaleAndMinimum, 0.0, 15.0, 8.0, kSpreads, 4};
        for (const std::vector<double>& importance : {std::vector<double>(4, 1.0), std::vector<double>(4, 0.0)}) {
            std::vector<double> scales(kUnits, 0.5), minimums(kUnits, 0.0);
            kernels::leastSquaresGrids(search, importance, weights, kUnits, scales, minimums);
            for (std::size_t u = 0; u < kUnits; ++u)
                QVERIFY(scales[u] == 0.5 && minimums[u] == 0.0);
        }
    }
};

QTEST_APPLESS_MAIN(TestLeastSquaresGrid)
#include "tst_least_squares_grid.moc"
