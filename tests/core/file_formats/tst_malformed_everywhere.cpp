// SPDX-License-Identifier: GPL-3.0-or-later
// Small valid files of every format, cut off at every byte and with every bit of their headers turned over: each ends
// in an error of a known kind or in a model that can be read to its last row.
#include "tests/support/bounded_open.h"
#include "tests/support/checkpoint_files.h"
#include "tests/support/onnx_file.h"
#include "tests/support/tensor_figures.h"
#include "tests/support/tflite_file.h"

#include <QTest>

using namespace quantloupe;
using namespace quantloupe::tests;

class TestMalformedEverywhere : public QObject
{
    Q_OBJECT

    CheckpointFolder m_folder;

    void files()
    {
        QTest::addColumn<QByteArray>("file");
        QTest::addColumn<QByteArray>("name");
        const auto row = [](const char* title, const std::string& file, const char* name) {
            QTest::newRow(title) << QByteArray(file.data(), qsizetype(file.size())) << QByteArray(name);
        };
        row("safetensors",
            safetensorsFile(R"({"__metadata__":{"a":"b"},"h.0.attn.c_attn.weight":{"dtype":"F32","shape":[2,6],)"
                            R"("data_offsets":[0,48]},"n":{"dtype":"F4","shape":[2,2],"data_offsets":[48,50]}})",
                50),
            "m.safetensors");
        row("GGUF",
            GgufBuilder()
                .text("general.architecture", "llama")
                .key("list", 9, raw(std::uint32_t {8}) + raw(std::uint64_t {2}) + ggufText("<s>") + ggufText("</s>"))
                .tensor("token_embd.weight", {32, 2}, 8, 68)
                .tensor("blk.0.attn_q.weight", {4, 4}, 1, 32)
                .file(),
            "m.gguf");
        row("ONNX",
            OnnxBuilder()
                .tensor("w", 1, {2, 3}, std::vector<float> {1, 2, 3, 4, 5, 6})
                .tensor(onnxTensor("q", 22, {4, 8}, bytes(9, std::string(16, '\x53'))))
                .tensor("s", 1, {2, 8}, std::vector<float>(16, 0.5F))
                .node("DequantizeLinear", {"q", "s"}, "d", attribute("axis", 0) + attribute("block_size", 2))
                .node("MatMul", {"x", "d"}, "y")
                .node("Gemm", {"y", "w"}, "z", attribute("transB", 1))
                .file(),
            "m.onnx");
        row("ONNX, packed",
            OnnxBuilder()
                .tensor(onnxTensor("b", 2, {2, 1, 8}, bytes(9, std::string(16, '\x53'))))
                .tensor(onnxTensor("s", 1, {2}, bytes(4, raw(1.0F)) + bytes(4, raw(2.0F))))
                .tensor(onnxTensor("z", 2, {2}, bytes(5, "\5\6")))
                .node("MatMulNBits", {"x", "b", "s", "z"}, "y",
                    attribute("K", 14) + attribute("N", 2) + attribute("block_size", 16), "n", "com.microsoft")
                .tensor("k", 1, {2, 1, 2}, std::vector<float> {1, 2, 3, 4})
                .node("ConvTranspose", {"y", "k"}, "z2", attribute("group", 2))
                .file(),
            "m.onnx");
        row("TensorFlow Lite", TfliteFile().bytes(), "m.tflite");
        row("shard index",
            R"({"metadata":{"total_size":4},"weight_map":{"w":"part.safetensors","v":"part.safetensors"}})",
            "m.safetensors.index.json");
    }

    /// Empty when all is well.
    QString problemOf(const std::string& file, const QByteArray& name)
    {
        const auto opened = openBounded(m_folder.write(name.toStdString(), file));
        if (!opened.cheap())
            return QString::fromStdString(opened.cost());
        if (!opened.model) {
            const auto& error = opened.model.error();
            const bool typed = error.code == ErrorCode::Truncated || error.code == ErrorCode::Malformed
                || error.code == ErrorCode::NotThisFormat || error.code == ErrorCode::Unsupported
                || error.code == ErrorCode::CannotOpen;
            return typed && !error.reason.empty() && !error.where.empty() ? QString()
                                                                          : QString::fromStdString(describe(error));
        }
        for (const auto& tensor : (*opened.model)->tensors)
            if (tensor.view.decodable() && valuesOf(tensor.view).size() != matrixShape(tensor.view).elements())
                return "rows that cannot be read";
        return {};
    }

private Q_SLOTS:
    void init()
    {
        m_folder.write("part.safetensors",
            safetensorsFile(R"({"v":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                            R"("w":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
                4));
    }

    void cutOffAnywhere_data() { files(); }
    void cutOffAnywhere()
    {
        QFETCH(const QByteArray, file);
        QFETCH(const QByteArray, name);
        const auto valid = file.toStdString();
        QVERIFY(openModel(m_folder.write(name.toStdString(), valid)));
        std::size_t opened = 0;
        for (std::size_t size = 0; size < valid.size(); ++size) {
            const auto problem = problemOf(valid.substr(0, size), name);
            QVERIFY2(problem.isEmpty(), qPrintable(QString("%1 bytes: %2").arg(size).arg(problem)));
            opened += openModel(m_folder.path() / name.toStdString()) ? 1 : 0;
        }
        // Of ONNX what follows the graph may be missing, where a field ends; of GGUF the padding at the end.
        QVERIFY2(opened <= (name == "m.onnx" ? 1U : name == "m.gguf" ? 31U : 0U), qPrintable(QString::number(opened)));
    }

    void everyBit_data() { files(); }
    void everyBit()
    {
        QFETCH(const QByteArray, file);
        QFETCH(const QByteArray, name);
        const auto valid = file.toStdString();
        for (std::size_t bit = 0; bit < 8 * valid.size(); ++bit) {
            auto broken = valid;
            broken[bit / 8] = static_cast<char>(broken[bit / 8] ^ (1 << bit % 8));
            const auto problem = problemOf(broken, name);
            QVERIFY2(
                problem.isEmpty(), qPrintable(QString("bit %1 of byte %2: %3").arg(bit % 8).arg(bit / 8).arg(problem)));
        }
    }

    /// What fuzzing has met, in tests/fuzz/corpus.
    void inputsOfTheFuzzer_data()
    {
        QTest::addColumn<QByteArray>("name");
        QTest::newRow("gguf") << QByteArray("m.gguf");
        QTest::newRow("onnx") << QByteArray("m.onnx");
        QTest::newRow("safetensors") << QByteArray("m.safetensors");
        QTest::newRow("shard_index") << QByteArray("m.safetensors.index.json");
        QTest::newRow("tflite") << QByteArray("m.tflite");
    }
    void inputsOfTheFuzzer()
    {
        QFETCH(const QByteArray, name);
        const auto folder =
            std::filesystem::path(QUANTLOUPE_SOURCE_DIR) / "tests/fuzz/corpus" / QTest::currentDataTag();
        int count = 0;
        for (const auto& input : std::filesystem::directory_iterator(folder)) {
            std::ifstream file(input.path(), std::ios::binary);
            const std::string bytes(std::istreambuf_iterator<char>(file), {});
            const auto problem = problemOf(bytes, name);
            QVERIFY2(problem.isEmpty(), qPrintable(input.path().filename().c_str() + (": " + problem)));
            ++count;
        }
        QVERIFY(count > 0);
    }

    void largeNumbersAnywhere_data() { files(); }
    /// Wherever a number of eight, four or one bytes may lie.
    void largeNumbersAnywhere()
    {
        QFETCH(const QByteArray, file);
        QFETCH(const QByteArray, name);
        const auto valid = file.toStdString();
        const std::string numbers[] = {raw(~std::uint64_t {0}), raw(std::uint64_t {1} << 63U),
            raw(std::uint64_t {1} << 40U), raw(~0U), raw(0x7fff'ffffU), raw(0x8000'0000U),
            std::string(9, '\xff') + "\1", "\xff\xff\xff\xff\x07", std::string(8, '\0')};
        for (std::size_t at = 0; at < valid.size(); ++at)
            for (const auto& number : numbers) {
                auto broken = valid;
                broken.replace(at, std::min(number.size(), valid.size() - at), number);
                const auto problem = problemOf(broken, name);
                QVERIFY2(problem.isEmpty(), qPrintable(QString("byte %1: %2").arg(at).arg(problem)));
            }
    }
};

QTEST_APPLESS_MAIN(TestMalformedEverywhere)
#include "tst_malformed_everywhere.moc"
