// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/analyze.h"
#include "core/analysis/benchmark.h"
#include "core/analysis/benchmark_weights.h"
#include "core/kernels/memory_read.h"

#include <QTest>

#include <cmath>

using namespace quantloupe;

class TestBenchmark : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void products()
    {
        BenchmarkOptions options;
        options.rows = 80;
        options.columns = 256;
        options.rounds = 1;
        const auto result = benchmarkProducts(options, {});
        QVERIFY2(result.has_value(), result ? "" : describe(result.error()).c_str());
        std::map<std::uint64_t, double> floats;
        for (const auto& product : result->products)
            if (product.operation.starts_with("float32"))
                floats[product.tokens] = std::max(floats[product.tokens], product.gigaOperations);
        QCOMPARE(floats.size(), 2U);
        for (const auto& product : result->products) {
            QVERIFY(std::isfinite(product.gigaOperations) && product.gigaOperations > 0.0);
            QCOMPARE(product.ofFloat, product.gigaOperations / floats.at(product.tokens));
            // What float rounds in 256 products of fake-quantized numbers, and no more; integers are never just those.
            QCOMPARE(product.rmsDifference > 0.0, !product.operation.starts_with("float32"));
            QVERIFY(product.rmsDifference < 1e-6 && product.largestDifference < 1e-5);
        }
        options.rows = 0;
        QCOMPARE(benchmarkProducts(options, {}).error().code, ErrorCode::InvalidArgument);
        std::stop_source stopped;
        stopped.request_stop();
        QCOMPARE(benchmarkProducts({.rows = 16, .columns = 16, .rounds = 1}, stopped.get_token()).error().code,
            ErrorCode::Cancelled);
    }

    void measuresWhatIsAsked()
    {
        BenchmarkOptions options;
        options.rows = 64;
        options.columns = 256;
        options.rounds = 3;
        options.schemes = {Scheme::parse("int4:g128").value(), Scheme::parse("int8:tensor").value()};
        const auto result = runBenchmark(options, {});
        QVERIFY2(result.has_value(), result ? "" : describe(result.error()).c_str());
        QCOMPARE(result->weights, 64U * 256U);
        QCOMPARE(result->rounds, 3U);
        QCOMPARE(result->operations.front().operation, std::string("memory read"));
        QCOMPARE(result->operations.front().ofMemoryRead, 1.0);
        for (const auto& operation : result->operations)
            QVERIFY2(std::isfinite(operation.gigabytesPerSecond) && operation.gigabytesPerSecond > 0.0,
                operation.operation.c_str());
        QCOMPARE(result->schemes.size(), 2U);
        QCOMPARE(result->schemes[0].scheme, std::string("int4"));
        for (const auto& scheme : result->schemes) {
            QVERIFY(scheme.full > 0.0 && scheme.withoutHistogram > 0.0 && scheme.speedUpOfTwoThreads > 0.0);
            QCOMPARE(scheme.fullOfMemoryRead, scheme.full / result->operations.front().gigabytesPerSecond);
        }
    }

    void defaultsAreBuilt()
    {
        const auto schemes = defaultBenchmarkSchemes();
        QVERIFY(schemes.size() >= 5);
        for (const auto& scheme : schemes)
            QVERIFY(requireBuilt(scheme).has_value());
    }

    void refuses()
    {
        BenchmarkOptions options;
        options.rows = 0;
        QCOMPARE(runBenchmark(options, {}).error().code, ErrorCode::InvalidArgument);
        options.rows = options.columns = 8;
        options.schemes = {Scheme::parse("int4:entropy").value()};
        QCOMPARE(runBenchmark(options, {}).error().code, ErrorCode::Unsupported);
        std::stop_source stop;
        stop.request_stop();
        options.schemes.clear();
        QCOMPARE(runBenchmark(options, stop.get_token()).error().code, ErrorCode::Cancelled);
    }

    void weightsAreWeights_data()
    {
        QTest::addColumn<int>("dtype");
        for (const auto dtype : {DType::F32, DType::BF16, DType::F16})
            QTest::addRow("%s", nameOf(dtype).data()) << int(dtype);
    }
    void weightsAreWeights()
    {
        QFETCH(const int, dtype);
        const BenchmarkTensor drawn(300, 200, DType(dtype));
        Progress progress;
        const auto weights = measureWeights(drawn.tensor(), {}, progress).value();
        QCOMPARE(weights.nonFinite, 0U);
        QCOMPARE(weights.moments.count, 60'000U);
        QVERIFY(std::abs(weights.moments.mean()) < 1e-3);
        QVERIFY(weights.moments.standardDeviation() > 0.01 && weights.moments.standardDeviation() < 0.05);
        QVERIFY(std::abs(weights.moments.excessKurtosis()) < 0.5);
    }

    void readsEveryByte()
    {
        std::vector<std::uint64_t> words(67, 1);
        const auto bytes = std::as_bytes(std::span(words));
        for (const auto read : {kernels::readMemory, kernels::readMemoryInStreams}) {
            const auto before = read(bytes);
            for (auto& word : words) {
                word = 1000;
                QVERIFY(read(bytes) != before);
                word = 1;
            }
            QCOMPARE(read(bytes), before);
        }
    }
};

QTEST_APPLESS_MAIN(TestBenchmark)
#include "tst_benchmark.moc"
