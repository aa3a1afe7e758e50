// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/statistics/error_shares.h"

#include <QTest>

#include <algorithm>
#include <limits>
#include <random>

using namespace quantloupe;

namespace {

std::vector<float> multiplesOf(float step, std::size_t count, unsigned seed)
{
    std::mt19937 random(seed);
    std::uniform_int_distribution<int> whole(-64, 64);
    std::vector<float> values(count);
    std::generate(values.begin(), values.end(), [&] { return step * static_cast<float>(whole(random)); });
    return values;
}

}  // namespace

class TestErrorShares : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void tellsClippingFromRounding()
    {
        constexpr float nan = std::numeric_limits<float>::quiet_NaN();
        constexpr float infinity = std::numeric_limits<float>::infinity();
        // Two rows of five columns in groups of three: ends −1 … 1 and −2 … 2.
        const std::vector<float> originals {3.0F, 0.5F, -1.0F, 2.5F, nan, /**/ -4.0F, 1.0F, infinity, 2.0F, -2.0F};
        const std::vector<float> quantized {1.0F, 1.0F, -1.0F, 2.0F, 0.0F, /**/ -1.0F, 0.0F, 1.0F, 1.0F, -2.0F};
        const std::vector<UnitEnds> ends {{-1.0F, 1.0F}, {-2.0F, 2.0F}, {-1.0F, 1.0F}, {-2.0F, 2.0F}};
        ErrorShares shares(5, 3, 2);
        shares.add(originals, quantized, 7, ends);
        QCOMPARE(shares.clipping(), 4.0 + 0.25 + 9.0);
        QCOMPARE(shares.rounding(), 0.25 + 1.0 + 1.0);  // a weight at the end itself is rounded
        QCOMPARE(shares.clippingShare(), 13.25 / 15.5);
        const std::vector<GroupEnergy> expected {{8, 0, 3, 10.0}, {7, 0, 3, 4.25}};
        QVERIFY(shares.loudestGroups() == expected);

        ErrorShares endless(5, 3, 2);
        endless.add(originals, quantized, 7, {});
        QCOMPARE(endless.clipping(), 0.0);
        QCOMPARE(endless.rounding(), 15.5);
    }

    // Multiples of a power of two add up without rounding, so that pieces must agree to the bit.
    void piecesMergeToTheWhole()
    {
        constexpr std::size_t rows = 60, columns = 21, length = 8;
        const auto originals = multiplesOf(0.25F, rows * columns, 1);
        const auto quantized = multiplesOf(0.25F, rows * columns, 2);
        const std::vector<UnitEnds> ends(rows * 3, {-8.0F, 8.0F});
        ErrorShares whole(columns, length, 5);
        whole.add(originals, quantized, 0, ends);
        QVERIFY(whole.clipping() > 0.0 && whole.rounding() > 0.0);
        for (const std::size_t cut : {1U, 17U, 59U}) {
            ErrorShares first(columns, length, 5), second(columns, length, 5);
            first.add(std::span(originals).first(cut * columns), std::span(quantized).first(cut * columns), 0,
                std::span(ends).first(cut * 3));
            second.add(std::span(originals).subspan(cut * columns), std::span(quantized).subspan(cut * columns), cut,
                std::span(ends).subspan(cut * 3));
            first += second;
            QCOMPARE(first.clipping(), whole.clipping());
            QCOMPARE(first.rounding(), whole.rounding());
            QVERIFY(first.loudestGroups() == whole.loudestGroups());
        }
    }

    void equalGroupsGoByPlace()
    {
        const std::vector<float> originals(40, 1.0F), quantized(40, 0.0F);
        ErrorShares later(10, 5, 3), earlier(10, 5, 3);
        later.add(std::span(originals).first(20), std::span(quantized).first(20), 2, {});
        earlier.add(std::span(originals).first(20), std::span(quantized).first(20), 0, {});
        later += earlier;
        const std::vector<GroupEnergy> expected {{0, 0, 5, 5.0}, {0, 5, 5, 5.0}, {1, 0, 5, 5.0}};
        QVERIFY(later.loudestGroups() == expected);
    }

    void namesLoudestChannels()
    {
        const std::vector<float> energies {1.0F, 0.0F, 4.0F, 1.0F, 2.0F};
        const std::vector<ChannelShare> three {{2, 0.5}, {4, 0.25}, {0, 0.125}};
        QVERIFY(loudestChannels(energies, 3) == three);
        QCOMPARE(loudestChannels(energies, 9).size(), 4U);  // one carries nothing
        QVERIFY(loudestChannels({}, 3).empty());
        QVERIFY(loudestChannels(energies, 0).empty());
    }
};

QTEST_APPLESS_MAIN(TestErrorShares)
#include "tst_error_shares.moc"
