// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/code_book.h"
#include "tests/support/kernel_sweep.h"

using namespace quantloupe;
using namespace quantloupe::tests;

class TestCodeBook : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void matchesReference_data() { addTargetRows({1, 7, 8, 9, 64, 65, 100, 300}); }
    void matchesReference()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        kernels::CodeBook16 book {};
        for (std::size_t i = 0; i < 16; ++i)
            book.levels[i] = -1.0F + float(i) * 0.125F + (i == 15 ? 0.125F : 0.0F);
        for (std::size_t i = 0; i < 15; ++i)
            book.thresholds[i] = 0.5F * (book.levels[i] + book.levels[i + 1]);
        const auto columns = std::size_t(count);
        Samples samples(count * 2, shift, Content::Awkward);
        // Some weights exactly on thresholds.
        for (std::size_t i = 0; i < samples.values().size(); i += 5)
            samples.values()[i] = book.thresholds[i % 15];
        const std::span<const float> weights = std::as_const(samples).values();
        const UnitGrid choices[] = {
            {1.0F, 1.0F}, {0.05F, 20.0F}, {0.0F, 1e38F}, {1e-40F, 1e38F}, {3e38F, 1.0F / 3e38F}};
        for (const bool shared : {false, true})
            for (std::size_t first = 0; first < std::size(choices); ++first) {
                const kernels::UnitShape shape {columns, std::min<std::size_t>(64, columns), shared};
                std::vector<UnitGrid> grids(shared ? 1 : 2 * shape.unitsPerRow());
                for (std::size_t u = 0; u < grids.size(); ++u)
                    grids[u] = choices[(first + u) % std::size(choices)];
                std::vector<float> out(weights.size()), expected(weights.size()), decoded(weights.size());
                std::vector<std::uint32_t> codes(weights.size()), expectedCodes(weights.size());
                QCOMPARE(kernels::codeBookFakeQuantize(book, weights, shape, grids, out),
                    kernels::codeBookFakeQuantizeReference(book, weights, shape, grids, expected));
                QCOMPARE(firstDifference(out, expected), -1);
                kernels::codeBookEncode(book, weights, shape, grids, codes);
                kernels::codeBookEncodeReference(book, weights, shape, grids, expectedCodes);
                QVERIFY(codes == expectedCodes);
                kernels::codeBookDecode(book, codes, shape, grids, decoded);
                QCOMPARE(firstDifference(decoded, out), -1);  // the law
            }
    }

    void countsThresholds_data() { addTargetRows({1, 7, 8, 9, 16, 33, 300}); }
    void countsThresholds()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        Samples samples(std::size_t(count), shift, Content::Awkward);
        for (const std::size_t levels : {1U, 3U, 7U, 15U}) {
            std::vector<float> thresholds(levels);
            for (std::size_t i = 0; i < levels; ++i)
                thresholds[i] = 0.02F * (float(i) - 0.5F * float(levels - 1));
            // Some values exactly on thresholds.
            for (std::size_t i = 0; i < samples.values().size(); i += 3)
                samples.values()[i] = thresholds[i % levels];
            const std::span<const float> values = std::as_const(samples).values();
            std::vector<std::uint32_t> codes(values.size(), 99), expected(values.size());
            kernels::countThresholds(thresholds, values, codes);
            kernels::countThresholdsReference(thresholds, values, expected);
            QVERIFY(codes == expected);
        }
    }

    void countsWhatLiesBelow()
    {
        const std::vector<float> thresholds {-1.0F, 0.0F, 2.0F};
        const std::vector<float> values {-2.0F, -1.0F, -0.5F, 0.0F, 1.0F, 2.0F, 3.0F, std::nanf("")};
        std::vector<std::uint32_t> codes(values.size());
        kernels::countThresholds(thresholds, values, codes);
        QVERIFY((codes == std::vector<std::uint32_t> {0, 0, 1, 1, 2, 2, 3, 1}));
    }
};

QTEST_APPLESS_MAIN(TestCodeBook)
#include "tst_code_book.moc"
