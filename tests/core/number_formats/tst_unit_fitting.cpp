// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/number_formats/number_format.h"
#include "core/number_formats/quantizer.h"

#include <QTest>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

using namespace quantloupe;

class TestUnitFitting : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    // Many units at once, in whatever way the format has for it, against the one function that says what a grid is.
    void gridsAreThoseOfTheUnitsRanges()
    {
        constexpr std::size_t rows = 6, width = 70;
        const float infinity = std::numeric_limits<float>::infinity();
        std::mt19937 random(7);
        std::normal_distribution<float> weight(0.003F, 0.02F);
        std::vector<float> weights(rows * width);
        std::generate(weights.begin(), weights.end(), [&] { return weight(random); });
        std::fill_n(weights.begin(), 32, std::numeric_limits<float>::quiet_NaN());
        std::fill_n(weights.begin() + width, 32, 0.0F);
        for (std::size_t i = 2 * width; i < 3 * width; ++i)
            weights[i] = -std::abs(weights[i]);
        weights[3 * width + 5] = infinity;
        for (const char* bits : {"2", "4", "8", "16"})
            for (const char* granularity : {":g32", ":channel", ":b4x32"})
                for (const char* symmetry : {":sym", ":symf", ":asym", ":asymf"})
                    for (const char* storage : {":s32", ":s16", ":sbf16"}) {
                        const std::string text = std::string("int") + bits + granularity + symmetry + storage;
                        const Quantizer quantizer = Quantizer::create(*Scheme::parse(text), width).value();
                        std::vector<UnitGrid> grids(quantizer.gridCount(rows));
                        quantizer.fit(weights, rows, grids);
                        const auto units = quantizer.unitsPerRow(), length = quantizer.unitLength();
                        for (std::size_t i = 0; i < grids.size(); ++i) {
                            float low = infinity, high = -infinity;
                            const auto firstRow = i / units * quantizer.rowsPerUnit(), first = i % units * length;
                            for (auto row = firstRow; row < std::min(rows, firstRow + quantizer.rowsPerUnit()); ++row)
                                for (auto column = first; column < std::min(width, first + length); ++column)
                                    if (const float w = weights[row * width + column]; std::isfinite(w)) {
                                        low = std::min(low, w);
                                        high = std::max(high, w);
                                    }
                            if (low > high)
                                low = high = 0.0F;
                            if (quantizer.scheme().symmetry == Symmetry::Symmetric) {
                                high = std::max(-low, high);
                                low = -high;
                            }
                            const auto expected =
                                quantizer.format().grid->gridOf(quantizer.scheme(), {low + 0.0F, high + 0.0F, 0.0F});
                            QVERIFY2(grids[i] == expected, (text + " unit " + std::to_string(i)).c_str());
                        }
                    }
    }
};

QTEST_APPLESS_MAIN(TestUnitFitting)
#include "tst_unit_fitting.moc"
