// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/integer_column.h"
#include "tests/support/kernel_sweep.h"

using namespace quantloupe;

class TestIntegerColumn : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void sameAsReference_data() { tests::addTargetRows({0, 1, 7, 16, 33, 128}); }
    void sameAsReference()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const kernels::IntegerCodes forms[] {{1.0F, 15.0F, false}, {0.0F, 255.0F, false}, {0.0F, 3.0F, true},
            {0.0F, 65535.0F, false}, {0.0F, 65535.0F, true}};
        for (const auto content : {tests::Content::Weights, tests::Content::Awkward})
            for (const auto& codes : forms) {
                const tests::Samples samples(count, shift, content);
                std::vector<UnitGrid> grids;
                for (int i = 0; i < count; ++i)
                    grids.push_back({0.001F * float(1 + i % 9),
                        codes.floatingMinimum ? -0.013F * float(i % 4) : std::floor(codes.highest * float(i % 3) / 2)});
                std::vector<std::uint32_t> found(std::size_t(count), 9U), expected = found;
                std::vector<float> rounded(found.size()), expectedRounded = rounded;
                {
                    const tests::TargetScope scope(target);
                    kernels::integerRoundColumn(samples.values(), grids, codes, found, rounded);
                }
                const kernels::UnitShape shape {std::size_t(count), 1, false};
                kernels::integerEncodeReference(samples.values(), shape, grids, codes, expected);
                kernels::integerDecodeReference(expected, shape, grids, codes, expectedRounded);
                QVERIFY(found == expected);
                QCOMPARE(tests::firstDifference(rounded, expectedRounded), std::ptrdiff_t(-1));
            }
    }
};

QTEST_APPLESS_MAIN(TestIntegerColumn)
#include "tst_integer_column.moc"
