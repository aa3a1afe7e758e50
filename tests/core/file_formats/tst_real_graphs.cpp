// SPDX-License-Identifier: GPL-3.0-or-later
// ONNX and TensorFlow Lite files made by others, against statistics computed by another program.
#include "core/file_formats/file_format.h"
#include "tests/support/shared_data.h"
#include "tests/support/tensor_figures.h"

#include <QTest>

#include <fstream>
#include <map>

using namespace quantloupe;

class TestRealGraphs : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void initTestCase()
    {
        QUANTLOUPE_NEED(tests::corpus() / "STATS.json");
        m_statistics = nlohmann::json::parse(std::ifstream(tests::corpus() / "STATS.json"));
    }

    void agreesWithTheStatistics_data()
    {
        QTest::addColumn<int>("weights");
        QTest::newRow("onnx/silero_vad_16k_op15.onnx") << 8;
        QTest::newRow("onnx/nmp.onnx") << 9;
        QTest::newRow("onnx/slim-320-external/model.onnx") << 42;  // one per Conv
        QTest::newRow("onnx/light_squeezenet.onnx") << 0;          // nodes make its weights up
    }

    void agreesWithTheStatistics()
    {
        QFETCH(const int, weights);
        const auto path = tests::corpus() / QTest::currentDataTag();
        QUANTLOUPE_NEED(path);
        const auto model = openModel(path);
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        const auto& expected = m_statistics.at(QTest::currentDataTag()).at("tensors");
        QCOMPARE((*model)->tensors.size(), expected.size());
        QCOMPARE((*model)->quantizableTensors().size(), std::size_t(weights));
        static const std::map<std::string, DType> kTypes {
            {"FLOAT", DType::F32}, {"INT64", DType::I64}, {"INT32", DType::I32}};
        for (const auto& row : expected) {
            const auto name = row.at("name").get<std::string>();
            const auto index = (*model)->find(name);
            QVERIFY2(index, name.c_str());
            const auto& view = (*model)->tensors[*index].view;
            QVERIFY2(view.shape == row.at("shape").get<Shape>(), name.c_str());
            QVERIFY2(view.dtype == kTypes.at(row.at("dtype").get<std::string>()), name.c_str());
            const auto figures = tests::figuresOf(tests::valuesOf(view));
            const auto lowest = row.at("min").get<double>(), highest = row.at("max").get<double>();
            if (std::max(std::abs(lowest), std::abs(highest)) > 0x1p24 && view.dtype == DType::I64)  // rounded
                QVERIFY2(figures.min == double(float(lowest)) && figures.max == double(float(highest)), name.c_str());
            else
                QVERIFY2(tests::agree(figures, row), name.c_str());
        }
    }

    void tensorFlowLite_data()
    {
        QTest::addColumn<int>("weights");
        QTest::newRow("tflite/ad01_int8.tflite") << 10;
        QTest::newRow("tflite/hello_world_float.tflite") << 3;
        QTest::newRow("tflite/hello_world_int8.tflite") << 3;
        QTest::newRow("tflite/kws_ref_model.tflite") << 10;
        QTest::newRow("tflite/kws_ref_model_float32.tflite") << 10;
        QTest::newRow("tflite/micro_speech_quantized.tflite") << 2;
        QTest::newRow("tflite/trained_lstm.tflite") << 9;
        QTest::newRow("tflite/trained_lstm_int8.tflite") << 9;
    }

    /// The statistics are those of stored numbers: held against the codes as they lie, and these against the weights.
    void tensorFlowLite()
    {
        QFETCH(const int, weights);
        const auto path = tests::corpus() / QTest::currentDataTag();
        QUANTLOUPE_NEED(path);
        const auto model = openModel(path);
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        const auto& expected = m_statistics.at(QTest::currentDataTag()).at("tensors");
        QCOMPARE((*model)->tensors.size(), expected.size());
        QCOMPARE((*model)->quantizableTensors().size(), std::size_t(weights));
        static const std::map<std::string, DType> kTypes {
            {"FLOAT32", DType::F32}, {"INT8", DType::I8}, {"INT32", DType::I32}};
        for (const auto& row : expected) {
            const auto name = row.at("name").get<std::string>();
            const auto index = (*model)->find(name);
            QVERIFY2(index, name.c_str());
            const auto& view = (*model)->tensors[*index].view;
            QVERIFY2(view.shape == row.at("shape").get<Shape>(), name.c_str());
            QVERIFY2(view.dtype == kTypes.at(row.at("dtype").get<std::string>()), name.c_str());
            auto stored = view;
            stored.decoder = nullptr;
            const auto codes = tests::valuesOf(stored), values = tests::valuesOf(view);
            QVERIFY2(tests::agree(tests::figuresOf(codes), row), name.c_str());
            QCOMPARE(bool(view.decoder), row.contains("qscales"));
            if (!view.decoder)
                continue;
            const auto scales = row.at("qscales").get<std::size_t>();
            const auto [rows, columns] = matrixShape(view);
            QVERIFY(row.at("zp0") == 0 && (scales == 1 || scales == rows || (rows == 1 && scales == columns)));
            // In the first channel the scale that the statistics give, rounded; in each other one that is its own.
            const auto channel = scales == 1 ? values.size() : values.size() / scales;
            for (std::size_t first = 0; first < values.size(); first += channel) {
                double scale = 0.0;
                for (std::size_t i = first; i < first + channel; ++i)
                    if (codes[i] != 0)
                        scale = double(values[i]) / double(codes[i]);
                for (std::size_t i = first; i < first + channel; ++i)
                    QVERIFY(
                        std::abs(double(values[i]) - scale * double(codes[i])) <= 1e-6 * std::abs(double(values[i])));
                if (first == 0 && scale != 0.0)
                    QVERIFY2(std::abs(scale - row.at("scale0").get<double>()) <= 5.1e-7, name.c_str());
            }
        }
    }

private:
    nlohmann::json m_statistics;
};

QTEST_APPLESS_MAIN(TestRealGraphs)
#include "tst_real_graphs.moc"
