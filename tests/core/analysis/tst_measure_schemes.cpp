// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/analyze.h"
#include "tests/core/analysis/naive_reference.h"
#include "tests/core/analysis/synthetic_tensor.h"

#include <QTest>

#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <thread>

using namespace quantloupe;
using quantloupe::tests::close;
using quantloupe::tests::SyntheticTensor;

namespace {

std::vector<Scheme> parseAll(const std::vector<const char*>& texts)
{
    std::vector<Scheme> schemes;
    for (const auto* text : texts)
        schemes.push_back(Scheme::parse(text).value());
    return schemes;
}

/// Blocks of 512 are summed in at least four float lanes: the kernels' bound.
constexpr long double laneError = 0x1p-24L * (512 / 4 + 8);

/// Every family, granularity and range.
std::vector<Scheme> manySchemes()
{
    return parseAll({"int4:g128", "int8", "int8:tensor", "int4:g32:asym", "int2:g64:symf", "int3:g32:asym:mse",
        "int4:channel:asymf", "int4:g128:p99.9", "int4:tensor:asym:p99", "int4:tensor:mse", "nf4", "ternary",
        "ternary:tensor", "fp8_e4m3", "fp8_e5m2:tensor", "fp16", "bf16"});
}

Result<std::vector<SchemeMeasurement>> measureOn(
    int threads, const ModelTensor& tensor, const std::vector<Scheme>& schemes, std::stop_token stop = {})
{
    Progress progress;
    tbb::task_arena arena(threads);
    return arena.execute([&]() -> Result<std::vector<SchemeMeasurement>> {
        const auto weights = measureWeights(tensor, {}, progress);
        if (!weights)
            return tl::unexpected(weights.error());
        return measureSchemes(tensor, *weights, schemes, stop, progress);
    });
}

}  // namespace

class TestMeasureSchemes : public QObject
{
    Q_OBJECT
    tbb::global_control m_manyThreads {tbb::global_control::max_allowed_parallelism, 8};

private Q_SLOTS:
    void matchesTheNaiveReference_data()
    {
        QTest::addColumn<std::size_t>("rows");
        QTest::addColumn<std::size_t>("columns");
        QTest::addColumn<int>("dtype");
        QTest::addColumn<double>("nonFinite");
        const std::size_t shapes[][2] = {{1, 1}, {1, 3000}, {3000, 1}, {300, 333}, {65, 4100}, {40, 4096}, {2, 70000}};
        for (const auto& [rows, columns] : shapes)
            QTest::addRow("%zux%zu F32", rows, columns) << rows << columns << int(DType::F32) << 0.0;
        QTest::addRow("300x333 BF16") << std::size_t(300) << std::size_t(333) << int(DType::BF16) << 0.0;
        QTest::addRow("300x333 F16") << std::size_t(300) << std::size_t(333) << int(DType::F16) << 0.0;
        QTest::addRow("300x333 some not finite") << std::size_t(300) << std::size_t(333) << int(DType::F32) << 0.01;
        QTest::addRow("8x100 none finite") << std::size_t(8) << std::size_t(100) << int(DType::F32) << 1.0;
    }
    void matchesTheNaiveReference()
    {
        QFETCH(const std::size_t, rows);
        QFETCH(const std::size_t, columns);
        QFETCH(const int, dtype);
        QFETCH(const double, nonFinite);
        const SyntheticTensor synthetic(rows, columns, tests::llmWeights(rows, columns, 21, nonFinite), DType(dtype));
        const auto schemes = manySchemes();
        const auto measured = measureOn(2, synthetic.tensor(), schemes);
        QVERIFY2(measured.has_value(), measured ? "" : describe(measured.error()).c_str());
        QCOMPARE(measured->size(), schemes.size());
        for (std::size_t s = 0; s < schemes.size(); ++s) {
            const auto name = schemes[s].toString();
            const auto& actual = (*measured)[s];
            const auto expected = tests::naiveErrors(schemes[s], synthetic.values(), rows, columns);
            QVERIFY2(actual.scheme == schemes[s], name.c_str());
            QCOMPARE(actual.error.count, expected.count);
            QCOMPARE(actual.error.nonFinite, expected.nonFinite);
            QVERIFY2(actual.error.clipped == expected.clipped, name.c_str());
            QVERIFY2(close(actual.error.signalEnergy, expected.signal, laneError), name.c_str());
            QVERIFY2(close(actual.error.quantizedEnergy, expected.quantized, laneError), name.c_str());
            QVERIFY2(close(actual.error.errorEnergy, expected.error, laneError), name.c_str());
            QVERIFY2(close(actual.error.dotProduct, expected.dot, laneError), name.c_str());
            const long double bound = laneError * std::sqrt(expected.error * static_cast<long double>(expected.count));
            QVERIFY2(std::abs(actual.error.errorSum - expected.sum) <= bound, name.c_str());
            QVERIFY2(close(actual.error.maxAbsError, expected.largest, 1e-7L), name.c_str());
            for (std::size_t row = 0; row < rows; ++row)
                QVERIFY2(close(actual.rowErrorEnergy[row], expected.rows[row], laneError), name.c_str());
            for (std::size_t column = 0; column < columns; ++column)
                QVERIFY2(close(actual.columnErrorEnergy[column], expected.columns[column], laneError), name.c_str());
            QCOMPARE(actual.errorHistogram.total(), expected.count);
            const MatrixShape shape {rows, columns};
            QCOMPARE(actual.storedBytes, schemes[s].storedBytes(shape));
            QCOMPARE(actual.bitsPerWeight,
                8.0 * static_cast<double>(actual.storedBytes) / static_cast<double>(rows * columns));
        }
    }

    void errorHistogramCountsErrors()
    {
        const SyntheticTensor synthetic(200, 512, tests::llmWeights(200, 512, 4));
        const auto schemes = parseAll({"int4:g128", "int8", "nf4", "int4:tensor:mse"});
        const auto measured = measureOn(2, synthetic.tensor(), schemes);
        QVERIFY(measured.has_value());
        for (std::size_t s = 0; s < schemes.size(); ++s) {
            const auto expected = tests::naiveErrors(schemes[s], synthetic.values(), 200, 512);
            const auto& histogram = (*measured)[s].errorHistogram;
            QCOMPARE(histogram.counts.size(), 256U);
            QCOMPARE(histogram.low, -histogram.high);
            QVERIFY(histogram.high > 0.0);
            // A bin's edge may be off by a rounding error: what lies clearly inside must be counted, nothing clearly
            // outside.
            const double slack = 1e-5 * histogram.high;
            for (std::size_t bin = 0; bin < 256; ++bin) {
                const double low = histogram.low + static_cast<double>(bin) * histogram.binWidth(),
                             high = low + histogram.binWidth();
                std::uint64_t surely = 0, perhaps = 0;
                for (std::size_t i = 0; i < expected.values.size(); ++i) {
                    const double e =
                        static_cast<double>(synthetic.values()[i]) - static_cast<double>(expected.values[i]);
                    surely += e > low + slack && e < high - slack ? 1U : 0U;
                    perhaps += e > low - slack && e < high + slack ? 1U : 0U;
                }
                QVERIFY(histogram.counts[bin] >= surely && histogram.counts[bin] <= perhaps);
            }
            // The range is found from a few rows: little may lie beyond it, and not all of it may be empty.
            QVERIFY2(histogram.underflow + histogram.overflow < 200 * 512 / 20,
                qPrintable(QString::number(histogram.underflow + histogram.overflow)));
            QVERIFY(histogram.high <= 1.2501 * (*measured)[s].error.maxAbsError);
        }
    }

    void sameBitsOnAnyNumberOfThreads()
    {
        const SyntheticTensor synthetic(900, 300, tests::llmWeights(900, 300, 8, 0.0005));
        const auto expected = measureOn(1, synthetic.tensor(), manySchemes());
        QVERIFY(expected.has_value());
        for (const int threads : {2, 3, 8})
            QVERIFY2(measureOn(threads, synthetic.tensor(), manySchemes()) == expected,
                qPrintable(QString::number(threads)));
    }

    void companyDoesNotMatter()
    {
        const SyntheticTensor synthetic(700, 257, tests::llmWeights(700, 257, 8));
        const auto together = measureOn(2, synthetic.tensor(), manySchemes());
        QVERIFY(together.has_value());
        for (std::size_t s = 0; s < manySchemes().size(); ++s) {
            const auto alone = measureOn(2, synthetic.tensor(), {manySchemes()[s]});
            QVERIFY2(alone && alone->front() == (*together)[s], manySchemes()[s].toString().c_str());
        }
    }

    void losslessFormats()
    {
        // BF16 weights under bf16, and weights that lie on the grid already.
        const SyntheticTensor brain(64, 100, tests::llmWeights(64, 100, 1), DType::BF16);
        std::vector<float> steps(64 * 100);
        for (std::size_t i = 0; i < steps.size(); ++i)
            steps[i] = static_cast<float>(static_cast<int>(i % 15) - 7) * 0.25F;
        const SyntheticTensor onGrid(64, 100, steps);
        for (const auto& [tensor, text] : {std::pair {&brain, "bf16"}, {&brain, "fp32"}, {&onGrid, "int4:tensor"}}) {
            const auto measured = measureOn(2, tensor->tensor(), parseAll({text}));
            if (!measured) {  // fp32 changes nothing: it may be left out of what is built
                QCOMPARE(measured.error().code, ErrorCode::Unsupported);
                continue;
            }
            const auto& histogram = measured->front().errorHistogram;
            QCOMPARE(measured->front().error.maxAbsError, 0.0);
            QCOMPARE(measured->front().error.sqnrDb(), std::numeric_limits<double>::infinity());
            QCOMPARE(histogram.low, 0.0);
            QCOMPARE(histogram.high, 0.0);
            QCOMPARE(histogram.total(), 6400U);
        }
    }

    void refusesByName()
    {
        const SyntheticTensor synthetic(4, 64, tests::llmWeights(4, 64, 1));
        const auto refused = measureOn(1, synthetic.tensor(), parseAll({"int4", "int4+awq"}));
        QVERIFY(!refused.has_value());
        QCOMPARE(refused.error().code, ErrorCode::Unsupported);
        QVERIFY(describe(refused.error()).find("awq") != std::string::npos);
        QVERIFY(requireBuilt(Scheme::parse("int4:g32:asym:mse").value()).has_value());
        const auto gptq = requireBuilt(Scheme::parse("int4+gptq").value());
        QVERIFY(!gptq.has_value());
        QVERIFY(describe(gptq.error()).find("gptq") != std::string::npos);
    }

    void stopsQuickly()
    {
        // Enough work for several seconds; stopped from outside after 20 ms.
        const SyntheticTensor synthetic(4096, 1024, tests::llmWeights(4096, 1024, 6));
        std::stop_source stop;
        std::jthread stopper([&stop] {
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
            stop.request_stop();
        });
        Progress progress;
        WeightStatistics weights;
        weights.absMax = weights.maximum = 1.0;
        weights.minimum = -1.0;
        weights.moments.count = 4096 * 1024;
        const auto schemes = parseAll({"int3:g32:asym:mse", "int4:g32:asym:mse", "int2:g32:asym:mse", "int4:g64:mse"});
        const auto result = measureSchemes(synthetic.tensor(), weights, schemes, stop.get_token(), progress);
        QVERIFY(!result.has_value());
        QCOMPARE(result.error().code, ErrorCode::Cancelled);
        QVERIFY(progress.doneBytes.load() < synthetic.tensor().bytes() / 2);
    }

    void progressAddsUp()
    {
        const SyntheticTensor synthetic(777, 130, tests::llmWeights(777, 130, 2));
        Progress progress;
        const auto weights = measureWeights(synthetic.tensor(), {}, progress);
        progress.doneBytes = 0;
        QVERIFY(measureSchemes(synthetic.tensor(), *weights, manySchemes(), {}, progress).has_value());
        QCOMPARE(progress.doneBytes.load(), synthetic.tensor().bytes());
    }
};

QTEST_APPLESS_MAIN(TestMeasureSchemes)
#include "tst_measure_schemes.moc"
