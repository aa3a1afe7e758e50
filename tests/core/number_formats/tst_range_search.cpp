// SPDX-License-Identifier: GPL-3.0-or-later
// Percentiles against sorting, the clipping search against a plain loop in double, whole tensors against single rows.
#include "core/number_formats/percentile.h"
#include "core/number_formats/quantizer.h"
#include "core/number_formats/tensor_range_search.h"

#include <QTest>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <random>

using namespace quantloupe;

namespace {

std::vector<float> heavyTailed(std::size_t count, unsigned seed)
{
    std::mt19937 random(seed);
    std::student_t_distribution<float> weight(3.0F);
    std::vector<float> weights(count);
    for (float& w : weights)
        w = 0.02F * weight(random);
    return weights;
}

// numpy.quantile(values, share), method "linear", by sorting.
double quantileBySorting(std::vector<float> values, double share)
{
    std::sort(values.begin(), values.end());
    const double position = double(values.size() - 1) * share;
    const auto below = std::size_t(position);
    const auto above = std::min(below + 1, values.size() - 1);
    return double(values[below]) + (double(values[above]) - double(values[below])) * (position - double(below));
}

UnitGrid search(const Quantizer& quantizer, std::span<const float> weights, std::size_t tile)
{
    const auto [low, high] = std::minmax_element(weights.begin(), weights.end());
    TensorRangeSearch found(quantizer, *low, *high, weights.size());
    while (found.needsPass()) {
        auto total = found.emptyPartial();
        for (std::size_t start = 0; start < weights.size(); start += tile) {
            auto part = found.emptyPartial();
            found.add(part, weights.subspan(start, std::min(tile, weights.size() - start)));
            total += part;
        }
        found.finishPass(total);
    }
    return found.grid();
}

Quantizer make(const std::string& scheme, std::size_t columns)
{
    return Quantizer::create(*Scheme::parse(scheme), columns).value();
}

}  // namespace

class TestRangeSearch : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void percentiles_data()
    {
        QTest::addColumn<double>("percentile");
        QTest::addColumn<int>("count");
        for (const double percentile : {0.001, 50.5, 75.0, 99.0, 99.9, 99.99, 100.0})
            for (const int count : {1, 2, 3, 100, 1001, 20000})
                QTest::addRow("p%g of %d", percentile, count) << percentile << count;
    }

    void percentiles()
    {
        QFETCH(const double, percentile);
        QFETCH(const int, count);
        const auto weights = heavyTailed(std::size_t(count), 1);
        auto sizes = weights;
        for (float& size : sizes)
            size = std::abs(size);
        const double share = percentile / 100.0;
        const std::string range = ":p" + QString::number(percentile, 'f', 6).toStdString() + ":s32";
        for (const std::string granularity : {"channel", "tensor"}) {
            const Quantizer symmetric = make("int8:" + granularity + range, weights.size());
            UnitGrid grid;
            if (symmetric.wholeTensor())
                grid = search(symmetric, weights, 777);
            else
                symmetric.fit(weights, 1, {&grid, 1});
            const float expected = float(quantileBySorting(sizes, share)) / 127.0F;
            QVERIFY2(std::abs(grid.scale - expected) <= 1e-6F * expected, granularity.c_str());
            if (percentile <= 50.0)
                continue;
            const Quantizer twoSided = make("int8:" + granularity + ":asym" + range, weights.size());
            if (twoSided.wholeTensor())
                grid = search(twoSided, weights, 777);
            else
                twoSided.fit(weights, 1, {&grid, 1});
            const double low = std::min(0.0, quantileBySorting(weights, 1.0 - share));
            const double high = std::max(0.0, quantileBySorting(weights, share));
            QVERIFY(std::abs(double(grid.scale) - (high - low) / 255.0) <= 1e-6 * double(grid.scale));
            QVERIFY(std::abs(double(grid.zero) - std::nearbyint(-low / double(grid.scale))) <= 1.0);
        }
    }

    void quantilesAreThoseOfSortedValues_data()
    {
        QTest::addColumn<int>("count");
        QTest::addColumn<int>("different");  // values to draw from; 0: a bell
        for (const int count : {1, 2, 3, 100, 1023, 1024, 5000, 20000})
            for (const int different : {0, 1, 3, 40})
                QTest::addRow("%d of %d", count, different) << count << different;
    }
    void quantilesAreThoseOfSortedValues()
    {
        QFETCH(const int, count);
        QFETCH(const int, different);
        std::mt19937 random(3);
        std::normal_distribution<float> bell;
        std::vector<float> values;
        for (int i = 0; i < count; ++i)
            values.push_back(different == 0 ? bell(random) : float(random() % unsigned(different)));
        auto sorted = values;
        std::ranges::sort(sorted);
        // Ends first and last in the row, too, where a sample of it misses them.
        for (const bool ordered : {false, true})
            for (const double share : {0.0, 1e-4, 0.001, 0.05, 0.0625, 0.3, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0}) {
                auto own = ordered ? sorted : values;
                const auto at = quantilePosition(own.size(), share);
                const double below = double(sorted[std::size_t(at.below)]),
                             above = double(sorted[std::size_t(at.above)]);
                QCOMPARE(quantileInPlace(own, share), float(interpolate(below, above, at.fraction)));
                std::ranges::sort(own);  // none is lost
                QVERIFY(own == sorted);
            }
    }

    // The search finds a shrink whose error, summed in double, is within 1e-5 of the best of all eighty.
    void clippingSearch_data()
    {
        QTest::addColumn<std::string>("scheme");
        for (const char* format : {"int2", "int3", "int4", "int8"})
            for (const char* symmetry : {"sym", "symf", "asym", "asymf"})
                for (const char* granularity : {"channel", "tensor", "g32"})
                    QTest::addRow("%s %s %s", format, symmetry, granularity)
                        << std::string(format) + ":" + granularity + ":" + symmetry;
        for (const char* format : {"fp8_e4m3", "fp8_e5m2", "nf4"})
            for (const char* granularity : {"channel", "tensor", "g64"})
                QTest::addRow("%s %s", format, granularity) << std::string(format) + ":" + granularity;
    }

    void clippingSearch()
    {
        QFETCH(const std::string, scheme);
        constexpr std::size_t columns = 250;
        const std::size_t rows = 4;
        const auto weights = heavyTailed(rows * columns, 2);
        const Quantizer quantizer = make(scheme + ":mse", columns);
        std::vector<UnitGrid> grids(quantizer.gridCount(rows));
        if (quantizer.wholeTensor())
            grids[0] = search(quantizer, weights, 128);
        else
            quantizer.fit(weights, rows, grids);
        const std::size_t length = quantizer.wholeTensor() ? weights.size() : quantizer.unitLength();
        const std::size_t width = quantizer.wholeTensor() ? weights.size() : columns;
        std::size_t unit = 0;
        for (std::size_t row = 0; row < weights.size() / width; ++row)
            for (std::size_t start = 0; start < width; start += length, ++unit) {
                const auto part = std::span(weights).subspan(row * width + start, std::min(length, width - start));
                const Quantizer single = make(scheme.substr(0, scheme.find(':')) + ":channel"
                        + (scheme.find("sym") == std::string::npos ? "" : scheme.substr(scheme.rfind(':'))),
                    part.size());
                const auto errorOf = [&](const UnitGrid& grid) {
                    std::vector<float> quantized(part.size());
                    single.fakeQuantize(part, 1, {&grid, 1}, quantized);
                    double sum = 0.0;
                    for (std::size_t i = 0; i < part.size(); ++i)
                        sum += std::pow(std::abs(double(quantized[i]) - double(part[i])), 2.4);
                    return sum;
                };
                double best = HUGE_VAL;
                const auto [low, high] = std::minmax_element(part.begin(), part.end());
                for (int i = 0; i < 80; ++i) {
                    const float p = float(1.0 - i / 100.0);
                    // A row of only the two ends has the shrunk range, whatever the format makes of it.
                    const float ends[] = {p * *low, p * *high};
                    UnitGrid grid;
                    const Quantizer pair = make(single.scheme().toString(), 2);
                    pair.fit(ends, 1, {&grid, 1});
                    best = std::min(best, errorOf(grid));
                }
                QVERIFY2(errorOf(grids[unit]) <= best * (1.0 + 1e-5),
                    qPrintable(QString("%1 > %2").arg(errorOf(grids[unit])).arg(best)));
            }
        QCOMPARE(unit, grids.size());
    }

    // One row as a tensor: both ways of finding its grid agree.
    void tensorOfOneRow_data()
    {
        QTest::addColumn<std::string>("format");
        QTest::addColumn<std::string>("tail");
        for (const char* format : {"int4", "int8", "int16", "fp8_e4m3", "nf4"})
            for (const char* tail : {"minmax", "p99.9", "mse"})
                QTest::addRow("%s %s", format, tail) << std::string(format) << std::string(":") + tail;
        for (const char* tail : {"symf:minmax", "symf:p99", "asym:minmax", "asymf:mse", "asymf:p99"})
            QTest::addRow("int4 %s", tail) << std::string("int4") << std::string(":") + tail;
        QTest::newRow("ternary") << std::string("ternary") << std::string();
    }

    void tensorOfOneRow()
    {
        QFETCH(const std::string, format);
        QFETCH(const std::string, tail);
        const auto weights = heavyTailed(1000, 3);
        UnitGrid row;
        make(format + ":channel" + tail, 1000).fit(weights, 1, {&row, 1});
        const UnitGrid tensor = search(make(format + ":tensor" + tail, 1000), weights, 1000);
        QVERIFY(std::abs(row.scale - tensor.scale) <= 1e-6F * row.scale);
        QVERIFY(std::abs(row.zero - tensor.zero) <= 1e-6F * std::abs(row.zero));
    }

    void keysKeepTheOrder()
    {
        std::vector<float> values {
            -HUGE_VALF, -3e38F, -1.0F, -1e-45F, -0.0F, 0.0F, 1e-45F, 1e-38F, 0.5F, 1.0F, 3e38F, HUGE_VALF};
        for (std::size_t i = 0; i < values.size(); ++i) {
            QCOMPARE(std::bit_cast<quint32>(valueOfKey(orderedKey(values[i]))), std::bit_cast<quint32>(values[i]));
            QVERIFY(i == 0 || orderedKey(values[i - 1]) < orderedKey(values[i]));
        }
    }

    void passesAreFew()
    {
        const auto passes = [](const char* scheme) {
            const Quantizer quantizer = make(scheme, 64);
            const auto weights = heavyTailed(6400, 4);
            const auto [low, high] = std::minmax_element(weights.begin(), weights.end());
            TensorRangeSearch found(quantizer, *low, *high, weights.size());
            int count = 0;
            for (; found.needsPass() && count < 9; ++count) {
                auto part = found.emptyPartial();
                found.add(part, weights);
                found.finishPass(part);
            }
            return count;
        };
        QCOMPARE(passes("int8:tensor"), 0);
        QCOMPARE(passes("ternary"), 1);
        QCOMPARE(passes("int4:tensor:asym:mse"), 1);
        QCOMPARE(passes("int8:tensor:p99.9"), 2);
        QCOMPARE(passes("fp16"), 0);
    }
};

QTEST_APPLESS_MAIN(TestRangeSearch)
#include "tst_range_search.moc"
