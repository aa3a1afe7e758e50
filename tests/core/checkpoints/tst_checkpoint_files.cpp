// SPDX-License-Identifier: GPL-3.0-or-later
// What happens to files: names that are taken, interruptions, shards, the same bytes for any number of threads.
#include "checkpoint_fixture.h"

#include <QTest>

#include <cmath>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace fs = std::filesystem;

class TestCheckpointFiles : public QObject
{
    Q_OBJECT
    CheckpointFolder m_source, m_target;
    ModelPointer m_model;

    static std::size_t filesIn(const fs::path& folder)
    {
        return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
    }

private Q_SLOTS:
    void initTestCase()
    {
        std::vector<NamedMatrix> tensors {randomMatrix("model.embed_tokens.weight", {96, 64}, 1)};
        for (unsigned block = 0; block < 3; ++block) {
            const auto prefix = "model.layers." + std::to_string(block);
            tensors.push_back(randomMatrix(prefix + ".mlp.up_proj.weight", {300, 64}, 10 + block));
            tensors.push_back(randomMatrix(prefix + ".input_layernorm.weight", {64}, 20 + block));
        }
        m_source.write(
            "config.json", R"({"model_type": "llama", "torch_dtype": "float32", "quantization_config": {}})");
        m_source.write("tokenizer_config.json", "{}");
        m_source.write("run.py", "print()");
        const auto model = openModel(m_source.write("model.safetensors", safetensorsOf(tensors)));
        QVERIFY(model);
        m_model = *model;
    }

    void namesThatAreTaken()
    {
        const auto request = requestFor(m_model, recipeOf("int4:g32"));
        const auto out = m_target.path() / "taken";
        QVERIFY(exportTo("fake-quantized", request, out));
        const auto before = bytesOf(out / "model.safetensors");
        const auto refused = exportTo("fake-quantized", requestFor(m_model, recipeOf("int3:g32")), out);
        QVERIFY(!refused);
        QCOMPARE(refused.error().code, ErrorCode::Conflict);
        QCOMPARE(bytesOf(out / "model.safetensors"), before);
        QVERIFY(exportTo("fake-quantized", requestFor(m_model, recipeOf("int3:g32")), out, {.overwrite = true}));
        QVERIFY(bytesOf(out / "model.safetensors") != before);
        QCOMPARE(filesIn(m_target.path()), std::size_t(1));  // nothing else is left
    }

    /// A kernel [1, 32, 1], as ONNX knows it: one row. Safetensors say nothing of it, and it reads as 32 rows.
    void kernelsAreReadAgainAsTheSourceHasThem()
    {
        const CheckpointFolder source, target;
        const auto plain = openModel(
            source.write("model.safetensors", safetensorsOf({randomMatrix("decoder.2.weight", {1, 32, 1}, 3)})));
        QVERIFY(plain);
        auto model = std::make_shared<Model>(**plain);
        model->tensors.front().view.convolution = true;
        const auto written =
            exportTo("fake-quantized", requestFor(model, recipeOf("int8:channel")), target.path() / "kernel");
        QVERIFY2(written, written ? "" : describe(written.error()).c_str());
    }

    void neverTheModelItself()
    {
        const auto before = bytesOf(m_model->files.front());
        const auto folder =
            exportTo("fake-quantized", requestFor(m_model, recipeOf("int4:g32")), m_source.path(), {.overwrite = true});
        QVERIFY(!folder);
        QCOMPARE(folder.error().code, ErrorCode::Conflict);
        QCOMPARE(bytesOf(m_model->files.front()), before);
    }

    void foldersOfOthersAreLeftAlone()
    {
        const auto out = m_target.path() / "notes";
        fs::create_directory(out);
        std::ofstream(out / "thesis.txt") << "years of work";
        const auto refused =
            exportTo("fake-quantized", requestFor(m_model, recipeOf("int4:g32")), out, {.overwrite = true});
        QVERIFY(!refused);
        QCOMPARE(refused.error().code, ErrorCode::Conflict);
        QVERIFY(fs::exists(out / "thesis.txt"));
        fs::remove_all(out);
    }

    void interruptionLeavesNothing()
    {
        std::stop_source stop;
        stop.request_stop();
        const auto before = filesIn(m_target.path());
        const auto cancelled = exportTo("fake-quantized", requestFor(m_model, recipeOf("int4:g32")),
            m_target.path() / "never", {}, stop.get_token());
        QVERIFY(!cancelled);
        QCOMPARE(cancelled.error().code, ErrorCode::Cancelled);
        QCOMPARE(filesIn(m_target.path()), before);
    }

    void noRoomIsToldBeforehand()
    {
        auto draft = findCheckpointTarget("fake-quantized")->draft(requestFor(m_model, recipeOf("int4:g32")));
        QVERIFY(draft);
        draft->files.front().size = std::uint64_t {1} << 60U;
        Progress progress;
        const auto refused = writeCheckpoint(
            *draft, weightQuantization(*m_model), m_target.path() / "huge", {}, std::stop_token(), progress);
        QVERIFY(!refused);
        QCOMPARE(refused.error().code, ErrorCode::CannotWrite);
        QVERIFY(!fs::exists(m_target.path() / "huge"));
    }

    /// A writer that stores something else than the codes is found out by reading again.
    void wrongBytesAreFoundOut()
    {
        auto draft = findCheckpointTarget("fake-quantized")->draft(requestFor(m_model, recipeOf("int4:g32")));
        QVERIFY(draft);
        auto& tensor = draft->tensors.front();
        tensor.pack = [own = tensor.pack](const QuantizedRows& rows, RegionWriter& out) {
            auto wrong = rows;
            wrong.values[5] += 1.0F;
            own(wrong, out);
        };
        Progress progress;
        const auto found = writeCheckpoint(
            *draft, weightQuantization(*m_model), m_target.path() / "wrong", {}, std::stop_token(), progress);
        QVERIFY(!found);
        QCOMPARE(found.error().code, ErrorCode::Internal);
        QVERIFY(!fs::exists(m_target.path() / "wrong"));
    }

    void threadsDoNotMatter()
    {
        const auto request = requestFor(m_model, recipeOf("int4:g32:asym"));
        for (const unsigned threads : {1U, 4U})
            QVERIFY(exportTo("compressed-tensors-checkpoint", request,
                m_target.path() / ("threads" + std::to_string(threads)), {.threads = threads}));
        QCOMPARE(bytesOf(m_target.path() / "threads1" / "model.safetensors"),
            bytesOf(m_target.path() / "threads4" / "model.safetensors"));
    }

    void shardsHaveAnIndex()
    {
        auto request = requestFor(m_model, recipeOf("int4:g32:symf:s32"));
        request.shardBytes = 20'000;
        const auto out = m_target.path() / "shards";
        const auto written = exportTo("compressed-tensors-checkpoint", request, out);
        QVERIFY2(written, written ? "" : qPrintable(QString::fromStdString(describe(written.error()))));
        const auto index = jsonAt(out / "model.safetensors.index.json");
        std::uint64_t total = 0;
        for (const auto& [name, file] : index["weight_map"].items()) {
            const auto bytes = storedNumbers<std::uint8_t>(out / file.get<std::string>(), name).size();
            QVERIFY2(bytes > 0, name.c_str());
            total += bytes;
        }
        QCOMPARE(index["metadata"]["total_size"].get<std::uint64_t>(), total);
        // The parts of a module stay together.
        for (const auto& [name, file] : index["weight_map"].items())
            if (name.ends_with(".weight_packed"))
                QVERIFY(file == index["weight_map"][name.substr(0, name.size() - 6) + "scale"]);
        QVERIFY(filesIn(out) > 4);
        QVERIFY(!fs::exists(out / "run.py"));
        QCOMPARE(bytesOf(out / "tokenizer_config.json"), std::string("{}"));
    }

    void fakeQuantizedFloats_data()
    {
        QTest::addColumn<int>("type");
        QTest::newRow("own") << -1;
        QTest::newRow("bf16") << int(DType::BF16);
        QTest::newRow("fp16") << int(DType::F16);
    }
    void fakeQuantizedFloats()
    {
        QFETCH(int, type);
        auto request = requestFor(m_model, recipeOf("int4:g32:sym:s32+hadamard"));
        if (type >= 0)
            request.floats = DType(type);
        const auto out = m_target.path() / (std::string("fake ") + QTest::currentDataTag());
        const auto written = exportTo("fake-quantized", request, out);
        QVERIFY2(written, written ? "" : qPrintable(QString::fromStdString(describe(written.error()))));
        const auto again = openModel(out);
        QVERIFY(again);
        const auto type32 = type < 0 ? DType::F32 : DType(type);
        for (const auto& tensor : (*again)->tensors)
            QCOMPARE(tensor.view.dtype, type32);
        const auto config = jsonAt(out / "config.json");
        QVERIFY(!config.contains("quantization_config"));
        QCOMPARE(config["torch_dtype"].get<std::string>(),
            std::string(type < 0            ? "float32"
                    : type32 == DType::BF16 ? "bfloat16"
                                            : "float16"));
        const auto name = std::string("model.layers.1.mlp.up_proj.weight");
        const auto original = valuesIn(*m_model, name), quantized = valuesIn(**again, name);
        double error = 0.0, energy = 0.0;
        for (std::size_t i = 0; i < original.size(); ++i) {
            error += std::pow(double(original[i]) - double(quantized[i]), 2);
            energy += std::pow(double(original[i]), 2);
        }
        QVERIFY(error > 0.001 * energy && error < 0.03 * energy);
    }

    void numbersOfThreadsAndFilesAreTold()
    {
        const auto written =
            exportTo("fake-quantized", requestFor(m_model, recipeOf("int8")), m_target.path() / "told");
        QVERIFY(written);
        QCOMPARE(written->verifiedTensors, m_model->tensors.size());
        std::uint64_t bytes = 0;
        for (const auto& file : written->files)
            if (file.filename() != "tokenizer_config.json")
                bytes += fs::file_size(file);
        QCOMPARE(written->bytes, bytes);
    }
};

QTEST_GUILESS_MAIN(TestCheckpointFiles)
#include "tst_checkpoint_files.moc"
