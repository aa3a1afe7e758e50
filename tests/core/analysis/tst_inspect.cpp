// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/inspect.h"
#include "tests/core/analysis/naive_reference.h"
#include "tests/core/analysis/synthetic_tensor.h"
#include "tests/core/analysis/tensor_weights.h"

#include <QTest>

#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <cmath>
#include <limits>
#include <map>
#include <utility>

using namespace quantloupe;
using quantloupe::tests::close;
using quantloupe::tests::SyntheticTensor;
using quantloupe::tests::weightsOf;

namespace {

Result<LayerInspection> inspectOn(int threads, const ModelTensor& tensor, const Scheme& scheme)
{
    Progress progress;
    const auto weights = weightsOf(tensor);
    tbb::task_arena arena(threads);
    return arena.execute([&] { return inspectLayer(tensor, weights, scheme, {}, progress); });
}

/// NaN is no figure to compare: given a value of its own.
bool same(LayerInspection a, LayerInspection b)
{
    const auto plain = [](double x) { return std::isnan(x) ? -1.0 : x; };
    return a.measurement == b.measurement && a.quantizedHistogram == b.quantizedHistogram && a.levels == b.levels
        && a.occupancy == b.occupancy && a.codes == b.codes && a.codesUsed == b.codesUsed && a.split == b.split
        && a.topOutputChannels == b.topOutputChannels && a.topInputChannels == b.topInputChannels
        && a.topGroups == b.topGroups && plain(a.entropyBits) == plain(b.entropyBits);
}

WeightMap rectangle(std::uint64_t firstRow, std::uint64_t firstColumn, std::uint64_t rows, std::uint64_t columns)
{
    WeightMap map;
    map.firstRow = firstRow;
    map.firstColumn = firstColumn;
    map.rows = rows;
    map.columns = columns;
    return map;
}

}  // namespace

class TestInspect : public QObject
{
    Q_OBJECT
    tbb::global_control m_manyThreads {tbb::global_control::max_allowed_parallelism, 8};

private Q_SLOTS:
    void countsCodesOfBlocks_data()
    {
        QTest::addColumn<QString>("scheme");
        for (const auto* scheme : {"q4_0", "q5_1", "q8_0", "q2_k", "q4_k", "q6_k", "iq4_xs"})
            QTest::newRow(scheme) << QString(scheme);
    }
    void countsCodesOfBlocks()
    {
        QFETCH(const QString, scheme);
        constexpr std::size_t rows = 30, columns = 512;
        const SyntheticTensor synthetic(rows, columns, tests::llmWeights(rows, columns, 5, 0.0));
        const auto parsed = Scheme::parse(scheme.toStdString()).value();
        const auto actual = inspectOn(2, synthetic.tensor(), parsed);
        QVERIFY2(actual.has_value(), actual ? "" : describe(actual.error()).c_str());
        std::vector<std::uint32_t> codes(rows * columns);
        Quantizer::create(parsed, columns)->encode(synthetic.values(), rows, {}, codes);
        std::map<std::uint32_t, double> counts;
        for (const auto code : codes)
            counts[code] += 1.0;
        double bits = 0.0;
        for (const auto& [code, count] : counts)
            bits -= count / double(codes.size()) * std::log2(count / double(codes.size()));
        QVERIFY(std::abs(actual->entropyBits - bits) < 1e-9);
        QCOMPARE(actual->codesUsed, counts.size());
    }

    void agreesWithASlowCount_data()
    {
        QTest::addColumn<QString>("scheme");
        QTest::addColumn<double>("nonFinite");
        for (const auto* scheme : {"int4:g128", "int8", "int4:g32:asym", "int2:g64:symf", "int3:tensor:asym", "nf4",
                 "ternary", "fp8_e4m3", "fp8_e5m2", "bf16"}) {
            QTest::addRow("%s", scheme) << QString(scheme) << 0.0;
            QTest::addRow("%s, some not finite", scheme) << QString(scheme) << 0.01;
        }
    }
    void agreesWithASlowCount()
    {
        QFETCH(const QString, scheme);
        QFETCH(const double, nonFinite);
        constexpr std::size_t rows = 260, columns = 300;
        const SyntheticTensor synthetic(rows, columns, tests::llmWeights(rows, columns, 17, nonFinite));
        const auto parsed = Scheme::parse(scheme.toStdString()).value();
        const auto actual = inspectOn(2, synthetic.tensor(), parsed);
        QVERIFY2(actual.has_value(), actual ? "" : describe(actual.error()).c_str());

        // The measurement is the one that an analysis gives, to the bit.
        Progress progress;
        const auto weights = weightsOf(synthetic.tensor());
        const auto measured = measureSchemes(synthetic.tensor(), weights, {&parsed, 1}, {}, progress);
        QVERIFY(actual->measurement == measured->front());

        const auto expected = tests::naiveErrors(parsed, synthetic.values(), rows, columns);
        auto histogram = weights.histogram;
        std::fill(histogram.counts.begin(), histogram.counts.end(), 0);
        std::vector<float> finite;
        for (std::size_t i = 0; i < expected.values.size(); ++i)
            if (std::isfinite(synthetic.values()[i]))
                finite.push_back(expected.values[i]);
        histogram.add(finite);
        QVERIFY(actual->quantizedHistogram == histogram);

        const auto quantizer = Quantizer::create(parsed, columns).value();
        std::vector<std::uint32_t> codes(rows * columns);
        quantizer.encode(synthetic.values(), rows, expected.grids, codes);
        std::map<std::uint32_t, std::uint64_t> counts;
        for (std::size_t i = 0; i < codes.size(); ++i)
            if (std::isfinite(synthetic.values()[i]))
                ++counts[codes[i]];
        double bits = 0.0;
        for (const auto& [code, count] : counts) {
            const double share = static_cast<double>(count) / static_cast<double>(expected.count);
            bits -= share * std::log2(share);
        }
        QVERIFY(std::abs(actual->entropyBits - bits) < 1e-9);
        QCOMPARE(actual->codes, quantizer.codeCount());
        QCOMPARE(actual->codesUsed, counts.size());

        QCOMPARE(actual->levels.size(), actual->occupancy.size());
        if (quantizer.codeCount() > 256) {
            QVERIFY(actual->levels.empty());
            return;
        }
        QVERIFY(!actual->levels.empty());
        QVERIFY(std::is_sorted(actual->levels.begin(), actual->levels.end()));
        std::uint64_t total = 0;
        for (const auto count : actual->occupancy)
            total += count;
        QCOMPARE(total, expected.count);
        // Each level's count, found by the value that a code has in a unit of scale 1.
        const auto values = quantizer.levels(expected.grids.front());
        std::map<float, std::uint64_t> byValue;
        for (std::uint32_t code = 0; code < values.size(); ++code)
            if (std::isfinite(values[code]))
                byValue[values[code]] += counts.contains(code) ? counts[code] : 0;  // ±0 are one key
        std::vector<std::uint64_t> ascending;
        for (const auto& [value, count] : byValue)
            ascending.push_back(count);
        QCOMPARE(actual->occupancy, ascending);
    }

    void levelsAreOfTheMiddlingUnitOfARow()
    {
        // From minimum to minimum + 15 steps: steps of ¼, ½ and thrice 1, of which the lowest minimum comes first.
        const std::pair<float, float> units[] = {
            {2.0F, 1.0F}, {0.0F, 0.5F}, {-3.0F, 1.0F}, {1.0F, 0.25F}, {-1.0F, 1.0F}};
        std::vector<float> values;
        for (const auto& [minimum, step] : units)
            for (int i = 0; i < 32; ++i)
                values.push_back(i % 2 == 0 ? minimum : minimum + 15.0F * step);
        const SyntheticTensor synthetic(1, 160, values);
        const auto inspection = inspectOn(2, synthetic.tensor(), Scheme::parse("int4:g32:asymf").value());
        QVERIFY(inspection.has_value());
        QCOMPARE(inspection->levels.size(), 16U);
        QCOMPARE(inspection->levels.front(), -3.0F);
        QCOMPARE(inspection->levels.back(), 12.0F);
    }

    void levelsAreOfAMiddlingUnit()
    {
        // Row r holds ±(r + 1): scales 1/7 … 5/7, of which the third is the median.
        std::vector<float> values;
        for (int row = 0; row < 5; ++row)
            for (int column = 0; column < 64; ++column)
                values.push_back(static_cast<float>(row + 1) * (column % 2 == 0 ? 1.0F : -1.0F));
        const SyntheticTensor synthetic(5, 64, values);
        const auto inspection = inspectOn(2, synthetic.tensor(), Scheme::parse("int4:channel").value());
        QVERIFY(inspection.has_value());
        QCOMPARE(inspection->levels.back(), 7.0F * (3.0F / 7.0F));
        QCOMPARE(inspection->occupancy.back(), 5U * 32U);
        QCOMPARE(inspection->entropyBits, 1.0);  // two codes, equally often
    }

    void sameBitsOnAnyNumberOfThreads()
    {
        const SyntheticTensor synthetic(900, 257, tests::llmWeights(900, 257, 3, 0.001));
        for (const auto* text : {"int4:g32:asym", "int4:tensor:mse", "int3:g64:p99", "fp8_e5m2", "fp16"}) {
            const auto scheme = Scheme::parse(text).value();
            const auto expected = inspectOn(1, synthetic.tensor(), scheme);
            QVERIFY(expected.has_value());
            for (const int threads : {2, 3, 8})
                QVERIFY2(same(*inspectOn(threads, synthetic.tensor(), scheme), *expected), text);
        }
    }

    void stopsWhenAsked()
    {
        const SyntheticTensor synthetic(100, 100, tests::llmWeights(100, 100, 3));
        const auto weights = weightsOf(synthetic.tensor());
        std::stop_source stop;
        stop.request_stop();
        Progress progress;
        const auto inspection =
            inspectLayer(synthetic.tensor(), weights, Scheme::parse("int4").value(), stop.get_token(), progress);
        QVERIFY(!inspection && inspection.error().code == ErrorCode::Cancelled);
        const auto map = poolWeights(
            synthetic.tensor(), weights, {}, MapQuantity::Weights, rectangle(0, 0, 100, 100), 10, 10, stop.get_token());
        QVERIFY(!map && map.error().code == ErrorCode::Cancelled);
    }

    // A study is a file, and says of its histograms what it likes.
    void refusesAHistogramThatCannotBeFilled()
    {
        const SyntheticTensor synthetic(20, 20, tests::llmWeights(20, 20, 3));
        const auto good = weightsOf(synthetic.tensor());
        const auto inspected = [&](const Histogram& histogram) {
            auto weights = good;
            weights.histogram = histogram;
            Progress progress;
            return inspectLayer(synthetic.tensor(), weights, Scheme::parse("int4").value(), {}, progress);
        };
        QVERIFY(inspected(good.histogram).has_value());
        const std::vector<std::uint64_t> few(4), many(100'000);
        for (const auto& bad :
            {Histogram {.low = -1.0, .high = 1.0, .counts = many}, Histogram {.low = 1.0, .high = -1.0, .counts = few},
                Histogram {.low = -1.0, .high = 0.1, .counts = few},
                Histogram {.low = -HUGE_VAL, .high = 1.0, .counts = few},
                Histogram {.low = std::nan(""), .high = 1.0, .counts = few}}) {
            const auto refused = inspected(bad);
            QVERIFY(!refused && refused.error().code == ErrorCode::Malformed);
        }
    }

    void oddTensors_data()
    {
        QTest::addColumn<std::size_t>("rows");
        QTest::addColumn<std::size_t>("columns");
        QTest::addColumn<float>("value");
        QTest::addRow("no rows") << std::size_t(0) << std::size_t(7) << 1.0F;
        QTest::addRow("one weight") << std::size_t(1) << std::size_t(1) << 0.3F;
        QTest::addRow("all zero") << std::size_t(5) << std::size_t(40) << 0.0F;
        QTest::addRow("constant") << std::size_t(5) << std::size_t(40) << -0.3F;
        QTest::addRow("all NaN") << std::size_t(5) << std::size_t(40) << std::numeric_limits<float>::quiet_NaN();
        QTest::addRow("all infinite") << std::size_t(5) << std::size_t(40) << std::numeric_limits<float>::infinity();
    }
    void oddTensors()
    {
        QFETCH(const std::size_t, rows);
        QFETCH(const std::size_t, columns);
        QFETCH(const float, value);
        const SyntheticTensor synthetic(rows, columns, std::vector<float>(rows * columns, value));
        const std::uint64_t finite = std::isfinite(value) ? rows * columns : 0;
        for (const auto* text :
            {"int4:g32", "int8:tensor", "int3:g32:asym:mse", "nf4", "ternary", "fp8_e4m3", "fp16"}) {
            const auto inspection = inspectOn(2, synthetic.tensor(), Scheme::parse(text).value());
            QVERIFY2(inspection.has_value(), text);
            const auto& error = inspection->measurement.error;
            QCOMPARE(error.count, finite);
            QCOMPARE(error.nonFinite, rows * columns - finite);
            QVERIFY(std::isfinite(error.errorEnergy) && std::isfinite(error.quantizedEnergy));
            QCOMPARE(inspection->quantizedHistogram.total(), finite);
            QCOMPARE(inspection->measurement.errorHistogram.total(), finite);
            if (finite > 1 || finite == 0)
                QCOMPARE(inspection->entropyBits, 0.0);
        }
    }

    void ofEqualsTheFirstIsShown()
    {
        const auto shown = [](std::vector<float> values, MapQuantity quantity) {
            const SyntheticTensor synthetic(2, 2, std::move(values));
            const auto map = poolWeights(synthetic.tensor(), weightsOf(synthetic.tensor()),
                Scheme::parse("int4:channel").value(), quantity, rectangle(0, 0, 2, 2), 1, 1, {});
            return map.value().cells.at(0);
        };
        // Of the first row, though in the second column; then of the first column.
        QCOMPARE(shown({1.0F, -2.0F, 2.0F, 1.0F}, MapQuantity::Weights), -2.0F);
        QCOMPARE(shown({2.0F, -2.0F, 1.0F, 0.0F}, MapQuantity::Weights), 2.0F);
        QCOMPARE(shown({1.0F, -2.0F, 2.0F, 1.0F}, MapQuantity::Codes), 1.0F);
        QCOMPARE(shown({2.0F, -2.0F, 1.0F, 0.0F}, MapQuantity::Codes), 15.0F);
    }

    void poolsToTheLargest_data()
    {
        QTest::addColumn<int>("quantity");
        QTest::addColumn<QString>("scheme");
        const std::pair<MapQuantity, const char*> quantities[] = {{MapQuantity::Weights, "weights"},
            {MapQuantity::Error, "error"}, {MapQuantity::AbsError, "size of the error"}, {MapQuantity::Codes, "codes"}};
        for (const auto& [quantity, name] : quantities)
            for (const auto* scheme : {"int4:g32", "int8:tensor:mse"})
                QTest::addRow("%s, %s", name, scheme) << int(quantity) << QString(scheme);
    }
    void poolsToTheLargest()
    {
        QFETCH(const int, quantity);
        QFETCH(const QString, scheme);
        constexpr std::size_t rows = 90, columns = 130;
        const SyntheticTensor synthetic(rows, columns, tests::llmWeights(rows, columns, 23));
        const auto parsed = Scheme::parse(scheme.toStdString()).value();
        const auto weights = weightsOf(synthetic.tensor());
        const auto expected = tests::naiveErrors(parsed, synthetic.values(), rows, columns);
        std::vector<std::uint32_t> codes(rows * columns);
        Quantizer::create(parsed, columns).value().encode(synthetic.values(), rows, expected.grids, codes);

        const auto wanted = rectangle(7, 11, 70, 101);
        const auto map = poolWeights(synthetic.tensor(), weights, parsed, MapQuantity(quantity), wanted, 16, 25, {});
        QVERIFY(map.has_value());
        QCOMPARE(map->height, 16U);
        QCOMPARE(map->width, 25U);
        for (std::size_t y = 0; y < 16; ++y)
            for (std::size_t x = 0; x < 25; ++x) {
                float size = -1.0F, shown = 0.0F;
                for (std::size_t row = 7 + y * 70 / 16; row < 7 + (y + 1) * 70 / 16; ++row)
                    for (std::size_t column = 11 + x * 101 / 25; column < 11 + (x + 1) * 101 / 25; ++column) {
                        const auto i = row * columns + column;
                        const float w = synthetic.values()[i], e = w - expected.values[i];
                        const bool error = MapQuantity(quantity) == MapQuantity::Error
                            || MapQuantity(quantity) == MapQuantity::AbsError;
                        if (std::abs(error ? e : w) <= size)
                            continue;
                        size = std::abs(error ? e : w);
                        shown = MapQuantity(quantity) == MapQuantity::Weights ? w
                            : MapQuantity(quantity) == MapQuantity::Error     ? e
                            : MapQuantity(quantity) == MapQuantity::AbsError  ? size
                                                                              : static_cast<float>(codes[i]);
                    }
                QCOMPARE(map->cells[y * 25 + x], shown);
            }
    }

    void showsRealValuesUpClose()
    {
        const SyntheticTensor synthetic(20, 30, tests::llmWeights(20, 30, 2));
        const auto map = poolWeights(synthetic.tensor(), weightsOf(synthetic.tensor()), {}, MapQuantity::Weights,
            rectangle(15, 28, 100, 100), 64, 64, {});
        QVERIFY(map.has_value());
        QCOMPARE(map->rows, 5U);  // cut to the matrix
        QCOMPARE(map->columns, 2U);
        QCOMPARE(map->height, 5U);
        QCOMPARE(map->width, 2U);
        for (std::size_t y = 0; y < 5; ++y)
            for (std::size_t x = 0; x < 2; ++x)
                QCOMPARE(map->cells[y * 2 + x], synthetic.values()[(15 + y) * 30 + 28 + x]);
        const auto outside = poolWeights(synthetic.tensor(), weightsOf(synthetic.tensor()), {}, MapQuantity::Weights,
            rectangle(20, 0, 5, 5), 64, 64, {});
        QVERIFY(outside && outside->cells.empty());
    }

    void oneHoleIsSeen()
    {
        auto values = tests::llmWeights(64, 64, 2);
        values[10 * 64 + 10] = std::numeric_limits<float>::quiet_NaN();
        values[50 * 64 + 50] = -std::numeric_limits<float>::infinity();
        const SyntheticTensor synthetic(64, 64, values);
        const auto weights = weightsOf(synthetic.tensor());
        for (const auto quantity :
            {MapQuantity::Weights, MapQuantity::Error, MapQuantity::AbsError, MapQuantity::Codes}) {
            const auto map = poolWeights(synthetic.tensor(), weights, Scheme::parse("int4").value(), quantity,
                rectangle(0, 0, 64, 64), 8, 8, {});
            QVERIFY(map.has_value());
            for (std::size_t cell = 0; cell < 64; ++cell)
                QCOMPARE(std::isnan(map->cells[cell]), cell == 1 * 8 + 1 || cell == 6 * 8 + 6);
        }
    }
};

QTEST_APPLESS_MAIN(TestInspect)
#include "tst_inspect.moc"
