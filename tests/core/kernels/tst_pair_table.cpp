// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/pair_table.h"

#include <QtTest>

#include <array>
#include <numeric>

using quantloupe::kernels::PairTable;

namespace {

using Counts = std::array<std::uint64_t, PairTable::bins>;

void countUp(PairTable& table, std::size_t first, std::size_t second)
{
    const auto pair = first + PairTable::bins * second;
    if (++table.cells()[pair] == 0)
        table.carry(pair);
}

void countDown(PairTable& table, std::size_t first, std::size_t second)
{
    const auto pair = first + PairTable::bins * second;
    if (table.cells()[pair]-- == 0)
        table.borrow(pair);
}

}  // namespace

class TestPairTable : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void foldsBothOfEachPair()
    {
        PairTable table;
        Counts expected {}, counts {};
        counts[3] = expected[3] = 5;  // what was there before stays
        std::uint32_t state = 1;
        for (int i = 0; i < 5000; ++i) {
            state = state * 1664525U + 1013904223U;
            const std::size_t first = state >> 24U, second = state >> 12U & 0xFFU;
            countUp(table, first, second);
            ++expected[first];
            ++expected[second];
        }
        table.fold(counts);
        QVERIFY(counts == expected);
        table.fold(counts);
        QVERIFY2(counts == expected, "folding empties the table");
    }

    void cellsMayOverflow()
    {
        PairTable table;
        Counts counts {};
        constexpr std::uint64_t many = 200'000;
        for (std::uint64_t i = 0; i < many; ++i)
            countUp(table, 7, 255);
        table.fold(counts);
        QCOMPARE(counts[7], many);
        QCOMPARE(counts[255], many);
        QCOMPARE(std::accumulate(counts.begin(), counts.end(), std::uint64_t {0}), 2 * many);
    }

    void cellsMayFallBelowZeroMeanwhile()
    {
        PairTable table;
        Counts counts {};
        for (int i = 0; i < 70'000; ++i)
            countDown(table, 0, 1);
        for (int i = 0; i < 70'003; ++i)
            countUp(table, 0, 1);
        table.fold(counts);
        QCOMPARE(counts[0], std::uint64_t(3));
        QCOMPARE(counts[1], std::uint64_t(3));
    }

    void anUnusedTableFoldsToNothing()
    {
        PairTable table;
        Counts counts {};
        table.fold(counts);
        QVERIFY(counts == Counts {});
    }
};

QTEST_APPLESS_MAIN(TestPairTable)
#include "tst_pair_table.moc"
