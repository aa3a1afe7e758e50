// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/integer_rule.h"
#include "tests/support/kernel_sweep.h"

using namespace quantloupe;
using namespace quantloupe::tests;
using kernels::IntegerRule;

class TestIntegerRule : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void manyGridsAreThoseOfOneByOne_data() { addTargetRows({0, 1, 7, 8, 9, 63, 64, 65, 200}); }
    void manyGridsAreThoseOfOneByOne()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        // Ranges of ordinary units, and of weights of any size, some of them empty: the ordinary way of all at once,
        // and what it leaves to the other.
        for (const auto content : {Content::Weights, Content::Awkward}) {
            const Samples ends(2 * count, shift, content);
            std::vector<kernels::FiniteRange> ranges;
            for (std::size_t i = 0; i < std::size_t(count); ++i)
                ranges.push_back(content == Content::Awkward && i % 7 == 6
                        ? kernels::FiniteRange {}
                        : kernels::rangeOfReference(ends.values().subspan(2 * i, 2)));
            for (const auto rule : {IntegerRule::Symmetric, IntegerRule::SymmetricFull, IntegerRule::Asymmetric,
                     IntegerRule::AsymmetricFloat})
                for (const float highest : {3.0F, 15.0F, 255.0F, 65535.0F}) {
                    const kernels::IntegerCodes codes {.lowest = rule == IntegerRule::Symmetric ? 1.0F : 0.0F,
                        .highest = highest,
                        .floatingMinimum = rule == IntegerRule::AsymmetricFloat};
                    std::vector<UnitGrid> grids(ranges.size());
                    kernels::integerGrids(rule, codes, ranges, grids);
                    for (std::size_t i = 0; i < ranges.size(); ++i) {
                        const UnitGrid expected = kernels::integerGrid(rule, codes, ranges[i]);
                        QCOMPARE(std::bit_cast<quint64>(grids[i]), std::bit_cast<quint64>(expected));
                    }
                }
        }
    }
};

QTEST_APPLESS_MAIN(TestIntegerRule)
#include "tst_integer_rule.moc"
