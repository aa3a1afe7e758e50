// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/largest_in_columns.h"
#include "tests/support/kernel_sweep.h"

#include <algorithm>
#include <array>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

struct Columns {
    std::vector<float> sizes, values;
    std::vector<std::uint32_t> rows;

    explicit Columns(int count)
        : sizes(std::size_t(count), -1.0F)
        , values(std::size_t(count), 7.0F)
        , rows(std::size_t(count), 9U)
    {
    }
    kernels::LargestInColumns all() { return {sizes, values, rows}; }
};

bool areSame(const std::vector<float>& a, const std::vector<float>& b)
{
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), isSameNumber<float>);
}

}  // namespace

class TestLargestInColumns : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void matchesReference_data() { addTargetRows({0, 1, 3, 7, 8, 9, 16, 31, 100, 1024}); }
    void matchesReference()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        for (const auto content : {Content::Weights, Content::Awkward}) {
            Columns weights(count), errors(count), expectedWeights(count), expectedErrors(count);
            for (std::uint32_t row = 0; row < 6; ++row) {
                // The fourth row repeats the third, and the fifth is its negative: the first of equals stays.
                const unsigned seed = row < 3 ? row : 2;
                Samples a(count, shift, content, seed);
                const Samples b(count, shift, content, seed + 10);
                if (row == 4)
                    for (float& x : a.values())
                        x = -x;
                kernels::keepLargest(a.values(), b.values(), row, weights.all());
                kernels::keepLargestReference(a.values(), b.values(), row, expectedWeights.all());
                kernels::keepLargestErrors(a.values(), b.values(), row, errors.all());
                kernels::keepLargestErrorsReference(a.values(), b.values(), row, expectedErrors.all());
            }
            QVERIFY(areSame(weights.sizes, expectedWeights.sizes) && areSame(weights.values, expectedWeights.values));
            QVERIFY(weights.rows == expectedWeights.rows);
            QVERIFY(areSame(errors.sizes, expectedErrors.sizes) && areSame(errors.values, expectedErrors.values));
            QVERIFY(errors.rows == expectedErrors.rows);
        }
    }

    void keepsTheFirstOfEqualsAndWhatIsNotFinite_data() { addTargetRows({35}); }
    void keepsTheFirstOfEqualsAndWhatIsNotFinite()
    {
        QFETCH(const qint64, target);
        const TargetScope scope(target);
        const float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
        const std::array<std::array<float, 4>, 3> pattern {
            {{-2.0F, 1.0F, 3.0F, 5.0F}, {2.0F, -4.0F, -infinity, nan}, {1.0F, 4.0F, infinity, infinity}}};
        const std::array<float, 4> sizes {2.0F, 4.0F, infinity, infinity}, values {-2.0F, -4.0F, -infinity, nan};
        const std::array<std::uint32_t, 4> rows {0, 1, 1, 1};
        constexpr std::size_t count = 35;
        Columns columns(int {count});
        for (std::uint32_t row = 0; row < pattern.size(); ++row) {
            std::vector<float> weights(count);
            for (std::size_t i = 0; i < count; ++i)
                weights[i] = pattern[row][i % 4];
            kernels::keepLargest(weights, weights, row, columns.all());
        }
        for (std::size_t i = 0; i < count; ++i) {
            QCOMPARE(columns.sizes[i], sizes[i % 4]);
            QVERIFY(isSameNumber(columns.values[i], values[i % 4]));
            QCOMPARE(columns.rows[i], rows[i % 4]);
        }
    }
};

QTEST_APPLESS_MAIN(TestLargestInColumns)
#include "tst_largest_in_columns.moc"
