// SPDX-License-Identifier: GPL-3.0-or-later
// Checkpoints made by others, against statistics computed by another program.
#include "core/file_formats/file_format.h"
#include "tests/support/shared_data.h"
#include "tests/support/tensor_figures.h"

#include <QTest>

#include <nlohmann/json.hpp>

#include <fstream>

using namespace quantloupe;

namespace {

/// "float32" of Python's libraries is F32 here.
QString ours(const std::string& dtype)
{
    auto name = QString::fromStdString(dtype);
    return name.replace("bfloat", "BF").replace("float", "F").replace("int", "I");
}

const char* const kFiles[] = {"llm/stories260K/hf/model.safetensors",
    "llm/stories260K/hf-sharded-bf16/model-00001-of-00003.safetensors",
    "llm/stories260K/hf-sharded-bf16/model-00002-of-00003.safetensors",
    "llm/stories260K/hf-sharded-bf16/model-00003-of-00003.safetensors", "llm/stories260K/gguf/stories260K-f32.gguf",
    "llm/stories260K/gguf/stories260K-f16.gguf", "safetensors/silero_vad_16k.safetensors",
    "safetensors/jfk-codes.safetensors", "llm/stories260K/gguf/stories260K-direct-Q4_K_M.gguf",
    "llm/stories260K/pytorch_model_bf16.bin", "torch-legacy/pnet.pt", "torch-legacy/rnet.pt",
    "torch-legacy/lpips_v0.1_alex.pth", "torch-legacy/lpips_v0.1_squeeze.pth", "torch-legacy/lpips_v0.1_vgg.pth",
    "torch-zip/pnet_zip.pt", "torch-zip/ai85-mnist-extrasmall-qat8.pth.tar",
    "torch-zip/ai85-mnist-extrasmall-qat8-q.pth.tar", "torch-zip/candle_test.pt",
    "torch-zip/candle_fortran_tensor_3d.pth", "npz/pnet.npz", "npz/pnet_deflate.npz", "npz/candle_test.npz",
    "npz/candle_test.npy", "llm/stories260K/gguf/stories260K-direct-Q2_K.gguf",
    "llm/stories260K/gguf/stories260K-ff192-Q8_0.gguf", "llm/stories260K/gguf/stories260K-ff192-Q4_0.gguf",
    "llm/stories260K/gguf/stories260K-ff192-Q5_1.gguf", "llm/stories260K/gguf/stories260K-pad256-Q4_K_M.gguf",
    "gguf-vocab/ggml-vocab-llama-spm.gguf"};

}  // namespace

class TestRealCheckpoints : public QObject
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
        QTest::addColumn<QByteArray>("file");
        for (const auto* name : kFiles)
            QTest::newRow(name) << QByteArray(name);
    }

    void agreesWithTheStatistics()
    {
        QFETCH(const QByteArray, file);
        const auto path = tests::corpus() / file.toStdString();
        QUANTLOUPE_NEED(path);
        const auto model = openModel(path);
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        const auto& expected = m_statistics.at(file.toStdString()).at("tensors");
        QCOMPARE((*model)->tensors.size(), expected.size());
        for (const auto& row : expected) {
            const auto name = row.at("name").get<std::string>();
            const auto index = name == "<array>" ? std::size_t {0} : (*model)->find(name);
            QVERIFY2(index, name.c_str());
            const auto& view = (*model)->tensors[*index].view;
            QVERIFY2(view.shape == row.at("shape").get<Shape>(), name.c_str());
            QVERIFY2(ours(row.at("dtype").get<std::string>())
                         .compare(QString::fromStdString(std::string(nameOf(view.dtype))), Qt::CaseInsensitive)
                    == 0,
                name.c_str());
            if (row.contains("bytes"))
                QCOMPARE(std::uint64_t(view.bytes.size()), row.at("bytes").get<std::uint64_t>());
            QVERIFY2(view.decodable(), name.c_str());
            QVERIFY2(tests::agree(tests::figuresOf(tests::valuesOf(view)), row), name.c_str());
        }
    }

    void shardsMakeOneModel()
    {
        const auto folder = tests::corpus() / "llm/stories260K/hf-sharded-bf16";
        QUANTLOUPE_NEED(folder);
        const auto model = openModel(folder);
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        QCOMPARE((*model)->files.size(), std::size_t(3));
        QCOMPARE((*model)->tensors.size(), std::size_t(47));
        QCOMPARE((*model)->parameters(), std::uint64_t(260'032));
        QCOMPARE((*model)->bytes(), std::uint64_t(520'064));
        QVERIFY2((*model)->warnings.empty(), (*model)->warnings.empty() ? "" : (*model)->warnings[0].c_str());
        const auto index = openModel(folder / "model.safetensors.index.json");
        QVERIFY(index);
        QCOMPARE((*index)->fingerprint, (*model)->fingerprint);
    }

    void bothWorldsTellTheSameFigures()
    {
        const auto folder = tests::corpus() / "llm/stories260K";
        QUANTLOUPE_NEED(folder);
        const auto hf = openModel(folder / "hf"), gguf = openModel(folder / "gguf/stories260K-f32.gguf");
        QVERIFY(hf && gguf);
        QVERIFY((*hf)->naming == NamingWorld::HuggingFace && (*gguf)->naming == NamingWorld::Gguf);
        ModelConfig expected;
        expected.architecture = "llama";
        expected.hiddenSize = 64;
        expected.layers = 5;
        expected.heads = 8;
        expected.keyValueHeads = 4;
        expected.headDimension = 8;
        expected.intermediateSize = 172;
        expected.vocabulary = 512;
        expected.contextLength = 512;
        expected.tiedEmbeddings = true;
        QVERIFY((*hf)->config == expected);
        QVERIFY((*gguf)->config == expected);
        QVERIFY((*hf)->fingerprint != (*gguf)->fingerprint);
        QCOMPARE((*hf)->quantizableTensors().size(), std::size_t(36));
        QCOMPARE((*gguf)->quantizableTensors().size(), std::size_t(36));
        // Every tensor has its counterpart, of the same shape, role, block and fused group.
        for (const auto& tensor : (*hf)->tensors) {
            const auto name = ggufName(tensor.name, (*hf)->config.architecture);
            QVERIFY2(name && (*gguf)->find(*name), tensor.name.c_str());
            const auto& twin = (*gguf)->tensors[*(*gguf)->find(*name)];
            QVERIFY2(twin.view.shape == tensor.view.shape, tensor.name.c_str());
            QVERIFY2(twin.parts == tensor.parts, tensor.name.c_str());
        }
    }

    void vocabularyFileHasNoTensors()
    {
        const auto path = tests::corpus() / "gguf-vocab/ggml-vocab-llama-spm.gguf";
        QUANTLOUPE_NEED(path);
        const auto model = openModel(path);
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        QVERIFY((*model)->tensors.empty());
        QVERIFY((*model)->config.vocabulary == 32'000U);
        QVERIFY(!(*model)->warnings.empty());
        QCOMPARE((*model)->warnings.back(),
            std::string("The model has no tensors, only a vocabulary of 32000 tokens: there is nothing to quantize."));
        const auto& metadata = (*model)->metadata;
        const auto tokens = std::find_if(
            metadata.begin(), metadata.end(), [](const auto& row) { return row.first == "tokenizer.ggml.tokens"; });
        QVERIFY(tokens != metadata.end());
        QVERIFY2(tokens->second.starts_with("text[32000]: <unk>, <s>, </s>"), tokens->second.c_str());
    }

    /// The index and the configuration are there, the weights are not.
    void missingWeightsAreNamed_data()
    {
        QTest::addColumn<QByteArray>("missing");
        QTest::newRow("Molmo7B_D_NF4") << QByteArray("model-00001-of-00002.safetensors");
        QTest::newRow("WizardLM-2-8x22B") << QByteArray("model-00001-of-00059.safetensors");
    }

    void missingWeightsAreNamed()
    {
        QFETCH(const QByteArray, missing);
        const auto folder = tests::corpus() / "index" / QTest::currentDataTag();
        QUANTLOUPE_NEED(folder);
        const auto model = openModel(folder);
        QVERIFY(!model);
        QCOMPARE(model.error().where, (folder / missing.constData()).string());
    }

    void otherFormatsAreNotTaken_data()
    {
        QTest::addColumn<int>("code");
        QTest::addColumn<QByteArray>("reason");
        QTest::newRow("npz/basic_pitch_note_events.npz")
            << int(ErrorCode::Unsupported) << QByteArray("a pickle, which is never loaded");
        QTest::newRow("hostile/lfs-pointer-gpt2-10.onnx")
            << int(ErrorCode::NotThisFormat) << QByteArray("git lfs pull");
        QTest::newRow("llm/stories260K/hf/config.json") << int(ErrorCode::NotThisFormat) << QByteArray("JSON");
        QTest::newRow("llm/stories260K/tok512.bin") << int(ErrorCode::NotThisFormat) << QByteArray("none of");
        QTest::newRow("other/for-tests-ggml-parakeet-tdt.bin")
            << int(ErrorCode::Unsupported) << QByteArray("before GGUF");
        QTest::newRow("other/kws_savedmodel_variables") << int(ErrorCode::NotThisFormat) << QByteArray("TensorFlow");
        QTest::newRow("other/kws_savedmodel_variables/variables.index")
            << int(ErrorCode::NotThisFormat) << QByteArray("TensorFlow");
        QTest::newRow("other/kws_savedmodel_variables/variables.data-00000-of-00001")
            << int(ErrorCode::NotThisFormat) << QByteArray("TensorFlow");
    }

    void otherFormatsAreNotTaken()
    {
        QFETCH(const int, code);
        QFETCH(const QByteArray, reason);
        const auto path = tests::corpus() / QTest::currentDataTag();
        QUANTLOUPE_NEED(path);
        const auto model = openModel(path);
        QVERIFY(!model);
        QVERIFY2(int(model.error().code) == code, describe(model.error()).c_str());
        QVERIFY2(model.error().reason.find(reason.constData()) != std::string::npos, describe(model.error()).c_str());
    }

private:
    nlohmann::json m_statistics;
};

QTEST_APPLESS_MAIN(TestRealCheckpoints)
#include "tst_real_checkpoints.moc"
