// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/analyze.h"
#include "tests/core/analysis/synthetic_tensor.h"
#include "tests/support/bounded_open.h"
#include "tests/support/checkpoint_files.h"

#include <QTest>

#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <cmath>

using namespace quantloupe;
using quantloupe::tests::SyntheticTensor;

namespace {

Result<WeightStatistics> measureOn(int threads, const ModelTensor& tensor)
{
    Progress progress;
    tbb::task_arena arena(threads);
    return arena.execute([&] { return measureWeights(tensor, {}, progress); });
}

/// A model of one tensor of zeros, which take no room on the disk.
ModelPointer openZeros(
    const tests::CheckpointFolder& folder, const std::string& dtype, std::uint64_t side, std::uint64_t bytes)
{
    const auto shape = std::to_string(side) + "," + std::to_string(side);
    const auto path = folder.write("a.safetensors",
        tests::safetensorsFile(R"({"w":{"dtype":")" + dtype + R"(","shape":[)" + shape + R"(],"data_offsets":[0,)"
                + std::to_string(bytes) + "]}}",
            0));
    std::filesystem::resize_file(path, std::filesystem::file_size(path) + bytes);
    return openModel(path).value();
}

bool close(double actual, double expected, double tolerance)
{
    return std::abs(actual - expected) <= tolerance * std::max(1e-30, std::abs(expected));
}

}  // namespace

class TestMeasureWeights : public QObject
{
    Q_OBJECT
    tbb::global_control m_manyThreads {tbb::global_control::max_allowed_parallelism, 8};

private Q_SLOTS:
    // Two of four blocks have a scale that is no number: their weights are counted, and nothing else of them.
    void blocksWithoutANumber()
    {
        std::vector<std::byte> bytes(4 * 34, std::byte {2});
        const std::uint16_t scales[] = {0x3c00, 0x7e00, 0xbc00, 0x7c00};  // 1, NaN, -1, infinity
        for (std::size_t block = 0; block < 4; ++block)
            std::memcpy(bytes.data() + 34 * block, scales + block, 2);
        ModelTensor tensor;
        tensor.name = "blocks.weight";
        tensor.view = {.dtype = DType::Q8_0, .shape = {2, 64}, .bytes = bytes};
        QVERIFY(tensor.quantizable());
        Progress progress;
        const auto weights = measureWeights(tensor, {}, progress);
        QVERIFY(weights);
        QCOMPARE(weights->nonFinite, std::uint64_t(64));
        QCOMPARE(weights->moments.count, std::uint64_t(64));
        QCOMPARE(weights->minimum, -2.0);
        QCOMPARE(weights->maximum, 2.0);
        for (const auto* text : {"int4:g32:mse", "q4_k", "lut3", "nvfp4"}) {
            const auto scheme = Scheme::parse(text).value();
            const auto measured = measureSchemes(tensor, *weights, {&scheme, 1}, {}, progress);
            QVERIFY2(measured && measured->front().error.nonFinite == 64, text);
            QVERIFY2(std::isfinite(measured->front().error.mse()), text);
        }
    }

    void matchesOneLoop_data()
    {
        QTest::addColumn<int>("rows");
        QTest::addColumn<int>("columns");
        QTest::addColumn<int>("dtype");
        for (const auto dtype : {DType::F32, DType::BF16, DType::F16})
            for (const auto& [rows, columns] :
                {std::pair {1, 1}, {1, 70001}, {70001, 1}, {130, 4099}, {700, 333}, {3, 65536}})
                QTest::addRow("%dx%d %s", rows, columns, nameOf(dtype).data()) << rows << columns << int(dtype);
    }
    void matchesOneLoop()
    {
        QFETCH(const int, rows);
        QFETCH(const int, columns);
        QFETCH(const int, dtype);
        const auto height = static_cast<std::size_t>(rows), width = static_cast<std::size_t>(columns);
        const SyntheticTensor synthetic(height, width, tests::llmWeights(height, width, 5, 0.001), DType(dtype));
        const auto actual = measureOn(2, synthetic.tensor());
        QVERIFY(actual.has_value());

        long double sum = 0, energy = 0;
        std::uint64_t finite = 0, zeros = 0;
        std::vector<float> rowAbsMax(height), columnAbsMax(width);
        float lowest = 0.0F, highest = 0.0F;
        for (std::size_t i = 0; i < synthetic.values().size(); ++i) {
            const float w = synthetic.values()[i];
            if (!std::isfinite(w))
                continue;
            lowest = finite == 0 ? w : std::min(lowest, w);
            highest = finite == 0 ? w : std::max(highest, w);
            ++finite;
            zeros += w == 0.0F ? 1U : 0U;
            sum += w;
            energy += static_cast<long double>(w) * w;
            rowAbsMax[i / width] = std::max(rowAbsMax[i / width], std::abs(w));
            columnAbsMax[i % width] = std::max(columnAbsMax[i % width], std::abs(w));
        }
        QCOMPARE(actual->moments.count, finite);
        QCOMPARE(actual->nonFinite, synthetic.values().size() - finite);
        QCOMPARE(actual->zeros, zeros);
        QCOMPARE(actual->minimum, static_cast<double>(lowest));
        QCOMPARE(actual->maximum, static_cast<double>(highest));
        QCOMPARE(actual->rowAbsMax, rowAbsMax);
        QCOMPARE(actual->columnAbsMax, columnAbsMax);
        QCOMPARE(actual->histogram.total(), finite);
        const auto n = static_cast<long double>(finite);
        const auto sigma = static_cast<double>(std::sqrt(std::max(0.0L, energy / n - (sum / n) * (sum / n))));
        QVERIFY(std::abs(actual->moments.mean() - static_cast<double>(sum / n)) <= 1e-6 * sigma + 1e-12);
        QVERIFY(close(actual->moments.standardDeviation(), sigma, 1e-5));
        std::uint64_t beyond = 0;
        for (const float w : synthetic.values())
            if (std::isfinite(w) && std::abs(static_cast<double>(w) - actual->moments.mean()) > 3.0 * sigma)
                ++beyond;
        QVERIFY(std::abs(static_cast<double>(actual->beyond3Sigma) - static_cast<double>(beyond)) <= 1.0);
    }

    // So many 16-bit floats are counted by their patterns: all but the sums are what two looks at each weight tell.
    void countingIsAsGoodAsLooking_data()
    {
        QTest::addColumn<int>("dtype");
        QTest::addColumn<double>("broken");
        for (const auto dtype : {DType::BF16, DType::F16})
            for (const double broken : {0.0, 0.001})
                QTest::addRow("%s, %g not finite", nameOf(dtype).data(), broken) << int(dtype) << broken;
    }
    void countingIsAsGoodAsLooking()
    {
        QFETCH(const int, dtype);
        QFETCH(const double, broken);
        constexpr std::size_t rows = 1031, columns = 1040;
        auto weights = tests::llmWeights(rows, columns, 5, broken);
        std::fill_n(weights.begin(), 3 * columns, 0.0F);
        weights[7] = -0.0F;
        const SyntheticTensor halves(rows, columns, weights, DType(dtype)), floats(rows, columns, weights);
        const auto counted = measureOn(2, halves.tensor()), looked = measureOn(2, floats.tensor());
        QVERIFY(counted && looked);
        QVERIFY2(measureOn(8, halves.tensor()) == counted, "bits are the same on any number of threads");
        QVERIFY(close(counted->moments.mean(), looked->moments.mean(), 1e-9));
        QVERIFY(close(counted->moments.standardDeviation(), looked->moments.standardDeviation(), 1e-12));
        QVERIFY(close(counted->moments.skewness(), looked->moments.skewness(), 1e-6));
        QVERIFY(close(counted->moments.excessKurtosis(), looked->moments.excessKurtosis(), 1e-9));
        auto same = *looked;
        same.moments = counted->moments;
        QVERIFY(*counted == same);
        QCOMPARE(counted->moments.count, looked->moments.count);
    }

    void sameBitsOnAnyNumberOfThreads()
    {
        const SyntheticTensor synthetic(1111, 517, tests::llmWeights(1111, 517, 9, 0.0005));
        const auto expected = measureOn(1, synthetic.tensor());
        QVERIFY(expected.has_value());
        for (const int threads : {2, 3, 8})
            for (int repeat = 0; repeat < 3; ++repeat)
                QVERIFY2(measureOn(threads, synthetic.tensor()) == expected, qPrintable(QString::number(threads)));
    }

    void constantHasNoSpread()
    {
        const SyntheticTensor synthetic(300, 1000, std::vector<float>(300'000, 0.1F));
        const auto statistics = measureOn(2, synthetic.tensor());
        QVERIFY(statistics.has_value());
        QCOMPARE(statistics->moments.standardDeviation(), 0.0);
        QCOMPARE(statistics->survival[0], 0.0);
        QCOMPARE(statistics->histogram.total(), 300'000U);
        QVERIFY(statistics->outlierRows.empty() && statistics->outlierColumns.empty());
    }

    void emptyAndUnreadable_data()
    {
        QTest::addColumn<int>("rows");
        QTest::addColumn<int>("columns");
        QTest::addRow("no rows") << 0 << 5;
        QTest::addRow("no columns") << 5 << 0;
    }
    void emptyAndUnreadable()
    {
        QFETCH(const int, rows);
        QFETCH(const int, columns);
        const SyntheticTensor synthetic(static_cast<std::size_t>(rows), static_cast<std::size_t>(columns), {});
        const auto statistics = measureOn(2, synthetic.tensor());
        QVERIFY(statistics.has_value());
        QCOMPARE(statistics->moments.count, 0U);
        QCOMPARE(statistics->rowAbsMax.size(), static_cast<std::size_t>(matrixShape(synthetic.tensor().view).rows));

        ModelTensor packed = synthetic.tensor();
        packed.view.dtype = DType::F6_E2M3;
        const auto refused = measureOn(1, packed);
        QVERIFY(!refused.has_value());
        QCOMPARE(refused.error().code, ErrorCode::Unsupported);
        QVERIFY(describe(refused.error()).find("F6_E2M3") != std::string::npos);
    }

    void progressAddsUp()
    {
        const SyntheticTensor synthetic(777, 301, tests::llmWeights(777, 301, 2));
        Progress progress;
        progress.doneBytes = 5;
        QVERIFY(measureWeights(synthetic.tensor(), {}, progress).has_value());
        QCOMPARE(progress.doneBytes.load(), 5 + synthetic.tensor().bytes());
    }

    // Small tensors stay mapped from one pass to the next, and no longer.
    void pagesAreReleasedBehindTheLastPass()
    {
        constexpr std::uint64_t kSide = 3'584, kBytes = 4 * kSide * kSide;  // 49 MiB
        const tests::CheckpointFolder folder;
        const auto model = openZeros(folder, "F32", kSide, kBytes);
        releaseBytes(model->tensors[0].view);  // opening it has looked at all of it
        const auto before = tests::bounded::status("VmRSS");
        Progress progress;
        QVERIFY(measureWeights(model->tensors[0], {}, progress).has_value());
        QVERIFY(tests::bounded::status("VmRSS") < before + kBytes / 4 * tests::kAllowance);
        const WorkUnit unit {.tensor = 0, .schemes = {Scheme::parse("int4").value()}};
        const auto done =
            analyze(*model, {&unit, 1}, 2, {}, progress, [](const TensorMeasurement&) -> Result<void> { return {}; });
        QVERIFY(done.has_value());
        QVERIFY(tests::bounded::status("VmRSS") < before + kBytes / 4 * tests::kAllowance);
    }

    /// Resident memory does not grow with the tensor: rows are given back as they are finished.
    void finishedRowsAreReleased()
    {
        constexpr std::uint64_t kSide = 8'192, kBytes = 2 * kSide * kSide;  // 128 MiB
        const tests::CheckpointFolder folder;
        const auto model = openZeros(folder, "BF16", kSide, kBytes);
        std::ofstream("/proc/self/clear_refs") << "5";  // the peak begins anew
        const auto before = tests::bounded::status("VmRSS");
        Progress progress;
        const auto weights = measureWeights(model->tensors[0], {}, progress);
        QVERIFY(weights.has_value());
        const auto peak = tests::bounded::status("VmHWM");
        QVERIFY2(peak < before + kBytes / 4 * tests::kAllowance, std::to_string((peak - before) >> 20U).c_str());
    }

    void stopsWhenAsked()
    {
        const SyntheticTensor synthetic(777, 301, tests::llmWeights(777, 301, 2));
        std::stop_source stop;
        stop.request_stop();
        Progress progress;
        const auto result = measureWeights(synthetic.tensor(), stop.get_token(), progress);
        QVERIFY(!result.has_value());
        QCOMPARE(result.error().code, ErrorCode::Cancelled);
        QCOMPARE(progress.doneBytes.load(), 0U);
    }
};

QTEST_APPLESS_MAIN(TestMeasureWeights)
#include "tst_measure_weights.moc"
