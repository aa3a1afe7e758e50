// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/code_counts.h"
#include "tests/support/kernel_sweep.h"

using namespace quantloupe;
using namespace quantloupe::tests;

class TestCodeCounts : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void matchesReference_data() { addTargetRows({0, 1, 3, 4, 7, 31, 32, 33, 64, 128, 1000, 4096, 20000}); }
    void matchesReference()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        std::mt19937 random(unsigned(count + shift));
        for (const std::size_t used : {1U, 3U, 4U, 15U, 16U, 17U, 200U, 256U})
            for (const bool same : {false, true}) {  // one code alone fills a counter soonest
                std::vector<std::uint32_t> codes(std::size_t(count + shift));
                for (auto& code : codes)
                    code = same ? std::uint32_t(used - 1) : std::uint32_t(random() % used);
                const auto some = std::span(std::as_const(codes)).subspan(std::size_t(shift));
                std::vector<std::uint32_t> counts(used, 5), expected(counts);
                kernels::countCodes(some, counts);
                kernels::countCodesReference(some, expected);
                QVERIFY(counts == expected);
            }
    }
};

QTEST_APPLESS_MAIN(TestCodeCounts)
#include "tst_code_counts.moc"
