// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/half_counts.h"
#include "tests/support/kernel_sweep.h"

#include <random>

using namespace quantloupe;
using namespace quantloupe::tests;

class TestHalfCounts : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void matchesReference_data() { addTargetRows({0, 1, 3, 7, 8, 15, 16, 17, 33, 100, 4096}); }
    void matchesReference()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        std::mt19937 random(unsigned(count + shift));
        for (const std::uint16_t infinity : {std::uint16_t(0x7C00), std::uint16_t(0x7F80)})
            for (const bool anything : {false, true}) {
                std::vector<std::byte> row(std::size_t(2 * count + shift));
                for (auto& byte : row)
                    byte = std::byte(anything ? random() & 0xFFU : random() % 3);
                const auto bytes = std::span(std::as_const(row)).subspan(std::size_t(shift));
                std::vector<std::uint32_t> counts(kernels::halfPatterns, 4'294'967'295U), expectedCounts(counts);
                std::vector<std::uint16_t> columns(std::size_t(count), 0x0102), expectedColumns(columns);
                // Twice: counts and columns go on from where they were.
                for (int round = 0; round < 2; ++round)
                    QCOMPARE(kernels::countHalves(bytes, infinity, counts, columns),
                        kernels::countHalvesReference(bytes, infinity, expectedCounts, expectedColumns));
                QVERIFY(counts == expectedCounts);
                QVERIFY(columns == expectedColumns);
            }
    }

    void passesOverWhatIsNotFinite()
    {
        // 1, −infinity, NaN, −0 as binary16.
        const std::uint16_t patterns[] = {0x3C00, 0xFC00, 0x7E01, 0x8000};
        std::vector<std::uint32_t> counts(kernels::halfPatterns);
        std::vector<std::uint16_t> columns(4);
        QCOMPARE(
            kernels::countHalves(std::as_bytes(std::span(patterns)), 0x7C00, counts, columns), std::uint16_t(0x3C00));
        QVERIFY((columns == std::vector<std::uint16_t> {0x3C00, 0, 0, 0}));
        for (const auto pattern : patterns)
            QCOMPARE(counts[pattern], 1U);
    }
};

QTEST_APPLESS_MAIN(TestHalfCounts)
#include "tst_half_counts.moc"
