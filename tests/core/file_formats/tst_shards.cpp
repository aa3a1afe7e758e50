// SPDX-License-Identifier: GPL-3.0-or-later
// Checkpoints of several files, and what lies beside them.
#include "tests/support/checkpoint_files.h"
#include "tests/support/onnx_file.h"

#include <QTest>

using namespace quantloupe;
using tests::CheckpointFolder;
using tests::GgufBuilder;
using tests::raw;
using tests::safetensorsFile;

namespace {

/// A file with one F32 matrix [rows, 2] of this name.
std::string oneTensor(const std::string& name, int rows = 2)
{
    return safetensorsFile(QString(R"({"%1":{"dtype":"F32","shape":[%2,2],"data_offsets":[0,%3]}})")
                               .arg(name.c_str())
                               .arg(rows)
                               .arg(rows * 8)
                               .toStdString(),
        std::size_t(rows) * 8);
}

void writeTwoShards(const CheckpointFolder& folder)
{
    folder.write("model-00001-of-00002.safetensors", oneTensor("model.embed_tokens.weight", 5));
    folder.write("model-00002-of-00002.safetensors", oneTensor("model.layers.0.mlp.up_proj.weight", 3));
}

const char* const kIndex = R"({"metadata":{"total_size":64},"weight_map":{
    "model.layers.0.mlp.up_proj.weight":"model-00002-of-00002.safetensors",
    "model.embed_tokens.weight":"model-00001-of-00002.safetensors"}})";

GgufBuilder splitPart(int number, int count, int tensors)
{
    GgufBuilder builder;
    builder.key("split.no", 2, raw(std::uint16_t(number)))
        .key("split.count", 2, raw(std::uint16_t(count)))
        .key("split.tensors.count", 5, raw(std::int32_t(tensors)));
    if (number == 0)
        builder.text("general.architecture", "llama");
    return builder;
}

bool warned(const Model& model, const char* part)
{
    for (const auto& text : model.warnings)
        if (text.find(part) != std::string::npos)
            return true;
    return false;
}

}  // namespace

class TestShards : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void indexFolderAndPlainFilesGiveTheSameModel()
    {
        CheckpointFolder folder;
        writeTwoShards(folder);
        const auto plain = openModel(folder.path());
        QVERIFY2(plain, plain ? "" : describe(plain.error()).c_str());
        const auto index = folder.write("model.safetensors.index.json", kIndex);
        const auto byIndex = openModel(index);
        const auto byFolder = openModel(folder.path());
        QVERIFY2(byIndex, byIndex ? "" : describe(byIndex.error()).c_str());
        QVERIFY(byFolder);
        for (const auto& model : {*plain, *byIndex, *byFolder}) {
            QCOMPARE(model->files.size(), std::size_t(2));
            QCOMPARE(model->tensors.size(), std::size_t(2));
            QCOMPARE(model->tensors[0].name, std::string("model.embed_tokens.weight"));
            QCOMPARE(model->tensors[1].file, std::uint32_t(1));
            QCOMPARE(model->bytes(), std::uint64_t(64));
            QCOMPARE(model->fingerprint, (*plain)->fingerprint);
            QVERIFY(model->config.tiedEmbeddings);
            QVERIFY(!warned(*model, "index"));
        }
        QCOMPARE((*byIndex)->path, index);
        QCOMPARE((*byFolder)->path, folder.path());
    }

    void oneFileHasTheFingerprintOfItsShards()
    {
        CheckpointFolder shards, whole;
        writeTwoShards(shards);
        const auto path = whole.write("model.safetensors",
            safetensorsFile(
                R"({"model.layers.0.mlp.up_proj.weight":{"dtype":"F32","shape":[3,2],"data_offsets":[0,24]},)"
                R"("model.embed_tokens.weight":{"dtype":"F32","shape":[5,2],"data_offsets":[24,64]}})",
                64));
        QCOMPARE((*openModel(path))->fingerprint, (*openModel(shards.path()))->fingerprint);
    }

    void wrongIndex_data()
    {
        QTest::addColumn<QByteArray>("index");
        QTest::addColumn<int>("code");
        QTest::addColumn<QByteArray>("where");
        QTest::addColumn<int>("offset");
        QTest::addColumn<QByteArray>("reason");
        const auto row = [](const char* name, const char* index, ErrorCode code, const char* where, int offset,
                             const char* reason) {
            QTest::newRow(name) << QByteArray(index) << int(code) << QByteArray(where) << offset << QByteArray(reason);
        };
        const auto* const kSelf = "model.safetensors.index.json";
        const auto named = [&](const char* name, const char* file) {
            const auto index = std::string(R"({"weight_map":{"a":")") + file + "\"}}";
            row(name, index.c_str(), ErrorCode::Malformed, kSelf, 19, "not a plain file name");
        };
        row("empty", "", ErrorCode::Malformed, kSelf, 0, "not valid JSON");
        row("list", "[1]", ErrorCode::Malformed, kSelf, 0, "not a JSON object");
        row("no map", R"({"metadata":{}})", ErrorCode::Malformed, kSelf, -1, "no weight_map");
        row("empty map", R"({"weight_map":{}})", ErrorCode::Malformed, kSelf, -1, "names no tensor");
        row("map a list", R"({"weight_map":[]})", ErrorCode::Malformed, kSelf, 14, "not an object");
        row("file a number", R"({"weight_map":{"a":1}})", ErrorCode::Malformed, kSelf, 19, "is not text");
        row("tensor twice", R"({"weight_map":{"a":"x","a":"x"}})", ErrorCode::Malformed, kSelf, 23, "'a' occurs twice");
        named("folder above", "../secret.safetensors");
        named("two dots", "..");
        named("absolute", "/etc/passwd");
        named("subfolder", "sub/model.safetensors");
        named("backslash", "..\\\\model.safetensors");
        named("drive", "C:model.safetensors");
        named("empty name", "");
        named("NUL in name", "model\\u0000.safetensors");
        named("long name", std::string(256, 'n').c_str());
        row("shard missing", R"({"weight_map":{"a":"model-00003-of-00003.safetensors"}})", ErrorCode::CannotOpen,
            "model-00003-of-00003.safetensors", -1, "'model.safetensors.index.json' names it");
        row("shard a folder", R"({"weight_map":{"a":"folder.safetensors"}})", ErrorCode::CannotOpen,
            "folder.safetensors", -1, "not a regular file");
        row("shard a link to a link", R"({"weight_map":{"a":"twice.safetensors"}})", ErrorCode::CannotOpen,
            "twice.safetensors", -1, "symbolic link");
        row("shard broken", R"({"weight_map":{"a":"broken.safetensors"}})", ErrorCode::Malformed, "broken.safetensors",
            8, "not a JSON object");
        row("shard a pointer", R"({"weight_map":{"a":"pointer.safetensors"}})", ErrorCode::NotThisFormat,
            "pointer.safetensors", 0, "git lfs pull");
        row("shard of PyTorch that is none", R"({"weight_map":{"a":"pytorch_model-00001-of-00002.bin"}})",
            ErrorCode::NotThisFormat, "pytorch_model-00001-of-00002.bin", 0, "neither of PyTorch's");
        row("tensor missing in shard",
            R"({"weight_map":{"model.embed_tokens.weight":"model-00001-of-00002.safetensors","b":"model-00001-of-00002.safetensors"}})",
            ErrorCode::Malformed, kSelf, 78, "'b' is not in 'model-00001-of-00002.safetensors'");
        row("tensor in the other shard",
            R"({"weight_map":{"model.embed_tokens.weight":"model-00002-of-00002.safetensors","model.layers.0.mlp.up_proj.weight":"model-00001-of-00002.safetensors"}})",
            ErrorCode::Malformed, kSelf, 15, "is not in 'model-00002-of-00002.safetensors'");
        row("tensor in two shards",
            R"({"weight_map":{"model.embed_tokens.weight":"model-00001-of-00002.safetensors","x":"twin.safetensors"}})",
            ErrorCode::Malformed, "twin.safetensors", 85, "already in 'model-00001-of-00002.safetensors'");
    }

    void wrongIndex()
    {
        QFETCH(const QByteArray, index);
        QFETCH(const int, code);
        QFETCH(const QByteArray, where);
        QFETCH(const int, offset);
        QFETCH(const QByteArray, reason);
        CheckpointFolder folder;
        writeTwoShards(folder);
        std::filesystem::create_directory(folder.path() / "folder.safetensors");
        std::filesystem::create_symlink("model-00001-of-00002.safetensors", folder.path() / "once.safetensors");
        std::filesystem::create_symlink("once.safetensors", folder.path() / "twice.safetensors");
        folder.write("broken.safetensors", safetensorsFile("[]", 0));
        folder.write("pytorch_model-00001-of-00002.bin", "weights");
        folder.write("pointer.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:9e\nsize 4\n");
        folder.write("twin.safetensors",
            safetensorsFile(R"({"model.embed_tokens.weight":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                            R"("x":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                2));
        const auto path = folder.write("model.safetensors.index.json", {index.constData(), std::size_t(index.size())});
        const auto model = openModel(path);
        QVERIFY(!model);
        const auto text = describe(model.error());
        QVERIFY2(int(model.error().code) == code, text.c_str());
        QCOMPARE(model.error().where, (folder.path() / where.constData()).string());
        if (where == "twin.safetensors")  // the data, whose place depends on the header's length
            QVERIFY(model.error().offset > 0U);
        else
            QVERIFY2(model.error().offset == (offset < 0 ? std::nullopt : std::optional(std::uint64_t(offset))),
                text.c_str());
        QVERIFY2(model.error().reason.find(reason.constData()) != std::string::npos, text.c_str());
    }

    void linkedShardsOfACache()
    {
        CheckpointFolder cache, folder;
        const auto blob = cache.write("0a1b2c", oneTensor("model.embed_tokens.weight", 5));
        std::filesystem::create_symlink(blob, folder.path() / "model-00001-of-00001.safetensors");
        const auto index = folder.write("model.safetensors.index.json",
            R"({"weight_map":{"model.embed_tokens.weight":"model-00001-of-00001.safetensors"}})");
        const auto model = openModel(index);
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
    }

    void warnsOfWhatTheIndexGetsWrong()
    {
        CheckpointFolder folder;
        writeTwoShards(folder);
        folder.write("model-00002-of-00002.safetensors",
            safetensorsFile(
                R"({"model.layers.0.mlp.up_proj.weight":{"dtype":"F32","shape":[3,2],"data_offsets":[0,24]},)"
                R"("stranger":{"dtype":"F32","shape":[],"data_offsets":[24,28]}})",
                28));
        const auto model = openModel(folder.write("model.safetensors.index.json", kIndex));
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        QVERIFY(warned(**model, "does not name: 'stranger'"));
        QVERIFY(warned(**model, "64 bytes of tensors, the shards hold 68"));
    }

    void folders_data()
    {
        QTest::addColumn<QStringList>("files");
        QTest::addColumn<QString>("opened");  // empty: refused
        QTest::newRow("nothing") << QStringList {"readme.txt"} << "";
        QTest::newRow("the model among others")
            << QStringList {"model.safetensors", "extra.safetensors", "a.gguf"} << "model.safetensors";
        QTest::newRow("one of another name") << QStringList {"weights.safetensors"} << "weights.safetensors";
        QTest::newRow("two of other names") << QStringList {"a.safetensors", "b.safetensors"} << "";
        QTest::newRow("one GGUF") << QStringList {"a.gguf", "readme.txt"} << "a.gguf";
        QTest::newRow("two GGUF") << QStringList {"a.gguf", "b.gguf"} << "";
        QTest::newRow("one ONNX") << QStringList {"a.onnx", "a.onnx.data"} << "a.onnx";
        QTest::newRow("two ONNX") << QStringList {"a.onnx", "b.onnx"} << "";
        QTest::newRow("safetensors before GGUF") << QStringList {"a.gguf", "b.safetensors"} << "b.safetensors";
    }

    void folders()
    {
        QFETCH(const QStringList, files);
        QFETCH(const QString, opened);
        CheckpointFolder folder;
        for (const auto& file : files) {
            folder.write(file.toStdString(),
                file.endsWith(".onnx")       ? tests::OnnxBuilder().file()
                    : file.endsWith(".gguf") ? GgufBuilder().tensor("w", {2}, 0, 8).file()
                                             : oneTensor("w"));
        }
        const auto model = openModel(folder.path());
        QCOMPARE(bool(model), !opened.isEmpty());
        if (model)
            QCOMPARE((*model)->files.front().filename().string(), opened.toStdString());
        else
            QVERIFY(model.error().code == ErrorCode::NotThisFormat);
    }

    void config_data()
    {
        QTest::addColumn<QByteArray>("config");
        QTest::addColumn<QByteArray>("warning");
        QTest::addColumn<bool>("tied");
        QTest::newRow("fits") << QByteArray(
            R"({"model_type":"llama","num_hidden_layers":1,"tie_word_embeddings":true})")
                              << QByteArray() << true;
        QTest::newRow("does not say") << QByteArray(R"({"model_type":"llama"})") << QByteArray() << true;
        QTest::newRow("not tied") << QByteArray(R"({"tie_word_embeddings":false})") << QByteArray("not tied") << false;
        QTest::newRow("broken") << QByteArray(R"({"model_type":)") << QByteArray("config.json is left out") << true;
        QTest::newRow("too few blocks") << QByteArray(R"({"num_hidden_layers":2})")
                                        << QByteArray("part of the model is missing") << true;
        QTest::newRow("quantized") << QByteArray(R"({"quantization_config":{"quant_method":"gptq","bits":4}})")
                                   << QByteArray("already quantized (gptq)") << true;
    }

    void config()
    {
        QFETCH(const QByteArray, config);
        QFETCH(const QByteArray, warning);
        QFETCH(const bool, tied);
        CheckpointFolder folder;
        writeTwoShards(folder);
        folder.write("config.json", {config.constData(), std::size_t(config.size())});
        const auto model = openModel(folder.path());
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        if (warning.isEmpty())
            QVERIFY2((*model)->warnings.empty(), (*model)->warnings.empty() ? "" : (*model)->warnings[0].c_str());
        else
            QVERIFY(warned(**model, warning.constData()));
        QCOMPARE((*model)->config.tiedEmbeddings, tied);
    }

    void conv1DIsTransposed_data()
    {
        QTest::addColumn<QByteArray>("config");
        QTest::addColumn<QByteArray>("name");
        QTest::addColumn<int>("columns");
        QTest::addColumn<bool>("transposed");
        const QByteArray gpt2(R"({"model_type":"gpt2"})");
        QTest::newRow("c_attn") << gpt2 << QByteArray("h.0.attn.c_attn.weight") << 12 << true;
        QTest::newRow("c_proj") << gpt2 << QByteArray("transformer.h.0.mlp.c_proj.weight") << 5 << true;
        QTest::newRow("embedding") << gpt2 << QByteArray("wte.weight") << 5 << false;
        QTest::newRow("no config, by its shape") << QByteArray() << QByteArray("h.0.attn.c_attn.weight") << 12 << true;
        QTest::newRow("no config, another shape") << QByteArray() << QByteArray("h.0.attn.c_attn.weight") << 4 << false;
        QTest::newRow("another family") << QByteArray(R"({"model_type":"qwen"})")
                                        << QByteArray("transformer.h.0.attn.c_attn.weight") << 12 << false;
    }

    void conv1DIsTransposed()
    {
        QFETCH(const QByteArray, config);
        QFETCH(const QByteArray, name);
        QFETCH(const int, columns);
        QFETCH(const bool, transposed);
        CheckpointFolder folder;
        const auto json = QString(R"({"%1":{"dtype":"F32","shape":[4,%2],"data_offsets":[0,%3]}})")
                              .arg(name)
                              .arg(columns)
                              .arg(16 * columns);
        const auto path =
            folder.write("model.safetensors", safetensorsFile(json.toStdString(), std::size_t(16 * columns)));
        if (!config.isEmpty())
            folder.write("config.json", config.toStdString());
        const auto model = openModel(path);
        QVERIFY(model);
        const auto& view = (*model)->tensors[0].view;
        QCOMPARE(view.transposed, transposed);
        QCOMPARE(matrixShape(view).rows, std::uint64_t(transposed ? columns : 4));
    }

    void splitGguf_data()
    {
        QTest::addColumn<QString>("open");
        for (int i = 1; i <= 3; ++i)
            QTest::newRow(qPrintable(QString::number(i))) << QString("m-0000%1-of-00003.gguf").arg(i);
        QTest::newRow("folder") << QString();
    }

    void splitGguf()
    {
        QFETCH(const QString, open);
        CheckpointFolder folder;
        folder.write("m-00001-of-00003.gguf", splitPart(0, 3, 3).tensor("token_embd.weight", {4, 4}, 0, 64).file());
        folder.write("m-00002-of-00003.gguf", splitPart(1, 3, 3).tensor("blk.0.ffn_up.weight", {4, 4}, 0, 64).file());
        folder.write("m-00003-of-00003.gguf", splitPart(2, 3, 3).tensor("blk.1.ffn_up.weight", {4, 4}, 0, 64).file());
        const auto path = open.isEmpty() ? folder.path() : folder.path() / open.toStdString();
        const auto model = openModel(path);
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        QCOMPARE((*model)->tensors.size(), std::size_t(3));
        QCOMPARE((*model)->files.size(), std::size_t(3));
        QCOMPARE((*model)->config.architecture, std::string("llama"));
        QCOMPARE((*model)->tensors[2].file, std::uint32_t(2));
        QCOMPARE((*model)->path, path);
    }

    void wrongSplit_data()
    {
        QTest::addColumn<QByteArray>("second");
        QTest::addColumn<int>("code");
        QTest::addColumn<QByteArray>("where");
        QTest::addColumn<QByteArray>("reason");
        const auto row = [](const char* name, const std::string& second, ErrorCode code, const char* where,
                             const char* reason) {
            QTest::newRow(name) << QByteArray(second.data(), qsizetype(second.size())) << int(code) << QByteArray(where)
                                << QByteArray(reason);
        };
        const auto* const kFirst = "m-00001-of-00002.gguf";
        const auto* const kSecond = "m-00002-of-00002.gguf";
        row("missing", {}, ErrorCode::CannotOpen, kSecond, "names it");
        row("another number", splitPart(0, 2, 2).tensor("b", {4}, 0, 16).file(), ErrorCode::Malformed, kSecond,
            "split.no is 0");
        row("another count", splitPart(1, 3, 2).tensor("b", {4}, 0, 16).file(), ErrorCode::Malformed, kSecond,
            "split.count is 3");
        row("another total", splitPart(1, 2, 9).tensor("b", {4}, 0, 16).file(), ErrorCode::Malformed, kSecond,
            "split.tensors.count is 9");
        row("no split keys", GgufBuilder().tensor("b", {4}, 0, 16).file(), ErrorCode::Malformed, kSecond,
            "split.no is absent");
        row("too few tensors", splitPart(1, 2, 2).file(), ErrorCode::Malformed, kFirst, "the shards hold 1");
        row("the same tensor", splitPart(1, 2, 2).tensor("a", {4}, 0, 16).file(), ErrorCode::Malformed, kSecond,
            "already in");
        row("broken", "GGUF", ErrorCode::Truncated, kSecond, "first 8 bytes");
    }

    void wrongSplit()
    {
        QFETCH(const QByteArray, second);
        QFETCH(const int, code);
        QFETCH(const QByteArray, where);
        QFETCH(const QByteArray, reason);
        CheckpointFolder folder;
        const auto path = folder.write("m-00001-of-00002.gguf", splitPart(0, 2, 2).tensor("a", {4}, 0, 16).file());
        if (!second.isEmpty())
            folder.write("m-00002-of-00002.gguf", {second.constData(), std::size_t(second.size())});
        const auto model = openModel(path);
        QVERIFY(!model);
        const auto text = describe(model.error());
        QVERIFY2(int(model.error().code) == code, text.c_str());
        QCOMPARE(model.error().where, (folder.path() / where.constData()).string());
        QVERIFY2(model.error().reason.find(reason.constData()) != std::string::npos, text.c_str());
    }

    void splitOfAnotherName()
    {
        CheckpointFolder folder;
        const auto model = openModel(folder.write("renamed.gguf", splitPart(0, 2, 1).tensor("a", {4}, 0, 16).file()));
        QVERIFY(!model);
        QVERIFY(model.error().reason.find("'-00001-of-00002.gguf'") != std::string::npos);
        const auto absurd = openModel(folder.write("absurd.gguf",
            GgufBuilder().key("split.count", 10, raw(std::uint64_t {1} << 40U)).tensor("a", {4}, 0, 16).file()));
        QVERIFY(!absurd && absurd.error().code == ErrorCode::Malformed);
    }

    void fileThatShrinks()
    {
        CheckpointFolder folder;
        const auto path = folder.write("model.safetensors", oneTensor("w"));
        const auto model = openModel(path);
        QVERIFY(model);
        const auto& file = (*model)->tensors[0].view.owner;
        QVERIFY(!file->hasShrunk());
        std::filesystem::resize_file(path, 10);
        QVERIFY(file->hasShrunk());
        folder.write("other", "x");
        std::filesystem::rename(folder.path() / "other", path);  // a new file in its place: the old one is still mapped
        QVERIFY(!file->hasShrunk());
    }
};

QTEST_APPLESS_MAIN(TestShards)
#include "tst_shards.moc"
