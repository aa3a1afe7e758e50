// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/ranges.h"
#include "tests/support/kernel_sweep.h"

#include <algorithm>

using namespace quantloupe;
using namespace quantloupe::tests;
using kernels::FiniteRange;

namespace {

#ifdef HWY_COMPILE_ONLY_STATIC  // built for one instruction set
constexpr std::size_t fewestTargets = 1;
#else
constexpr std::size_t fewestTargets = 3;
#endif

}  // namespace

class TestRanges : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void severalTargetsAreThere()
    {
        // Else the sweeps below would prove nothing on the machines that run them.
        const auto targets = hwy::SupportedAndGeneratedTargets();
        const auto plain = [](std::int64_t target) { return target == HWY_SCALAR || target == HWY_EMU128; };
        QVERIFY(!std::all_of(targets.begin(), targets.end(), plain));
        QVERIFY(targets.size() >= fewestTargets);
    }

    void matchesReference_data() { addTargetRows({0, 1, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 1000}); }
    void matchesReference()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        for (const Content content : {Content::Weights, Content::Awkward}) {
            const Samples samples(count, shift, content);
            const FiniteRange range = kernels::rangeOf(samples.values());
            const FiniteRange expected = kernels::rangeOfReference(samples.values());
            QCOMPARE(std::bit_cast<quint32>(range.minimum), std::bit_cast<quint32>(expected.minimum));
            QCOMPARE(std::bit_cast<quint32>(range.maximum), std::bit_cast<quint32>(expected.maximum));
            QCOMPARE(range.empty(), expected.empty());

            const auto sum = kernels::absSumOf(samples.values());
            const auto expectedSum = kernels::absSumOfReference(samples.values());
            QCOMPARE(sum.count, expectedSum.count);
            // Doubles of one sign in any order: n roundings.
            QVERIFY(std::abs(sum.sum - expectedSum.sum) <= double(count) * 0x1p-53 * expectedSum.sum);
        }
    }

    void units_data() { addTargetRows({1, 31, 32, 33, 100}); }
    void units()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        const Samples samples(count * 3, shift, Content::Awkward);
        const auto columns = std::size_t(count);
        for (const std::size_t length : {std::size_t(1), std::size_t(8), std::size_t(32), columns}) {
            const kernels::UnitShape shape {columns, length};
            std::vector<FiniteRange> ranges(3 * shape.unitsPerRow());
            std::vector<double> means(ranges.size());
            kernels::rangesOfUnits(samples.values(), shape, ranges);
            kernels::absMeansOfUnits(samples.values(), shape, means);
            std::size_t unit = 0;
            for (std::size_t row = 0; row < 3; ++row)
                for (std::size_t start = 0; start < columns; start += length, ++unit) {
                    const auto part = std::as_const(samples).values().subspan(
                        row * columns + start, std::min(length, columns - start));
                    QCOMPARE(ranges[unit], kernels::rangeOfReference(part));
                    const auto sum = kernels::absSumOfReference(part);
                    const double mean = sum.count == 0 ? 0.0 : sum.sum / double(sum.count);
                    QVERIFY(std::abs(means[unit] - mean) <= double(count) * 0x1p-52 * mean);
                }
            QCOMPARE(unit, ranges.size());
        }
    }

    void nothingFinite()
    {
        const float nothing[] = {std::nanf(""), HUGE_VALF, -HUGE_VALF};
        QVERIFY(kernels::rangeOf(nothing).empty());
        QCOMPARE(kernels::rangeOf(nothing).absMax(), 0.0F);
        QVERIFY(kernels::rangeOf({}).empty());
        const float zeros[] = {-0.0F, 0.0F, -0.0F, -0.0F, -0.0F, -0.0F, -0.0F, -0.0F, -0.0F};
        QVERIFY(!std::signbit(kernels::rangeOf(zeros).minimum));
        QVERIFY(!std::signbit(kernels::rangeOf(zeros).maximum));
    }
};

QTEST_APPLESS_MAIN(TestRanges)
#include "tst_ranges.moc"
