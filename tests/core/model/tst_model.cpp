// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/model/catalog.h"
#include "core/model/model_config.h"

#include <QTest>

using namespace quantloupe;

namespace {

ModelTensor tensor(const char* name, DType dtype, Shape shape)
{
    ModelTensor made;
    made.name = name;
    made.parts = readName(name);
    made.view.dtype = dtype;
    made.view.shape = std::move(shape);
    return made;
}

}  // namespace

class TestModel : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void quantizable_data()
    {
        QTest::addColumn<QByteArray>("name");
        QTest::addColumn<int>("dtype");
        QTest::addColumn<QList<int>>("shape");
        QTest::addColumn<bool>("expected");
        const QByteArray matrix("model.layers.0.mlp.up_proj.weight");
        const auto row = [](const char* title, const QByteArray& name, DType dtype, const QList<int>& shape,
                             bool expected) { QTest::newRow(title) << name << int(dtype) << shape << expected; };
        for (const auto type : {DType::F64, DType::F32, DType::F16, DType::BF16, DType::F8_E4M3, DType::F8_E5M2})
            row(nameOf(type).data(), matrix, type, {4, 4}, true);
        for (auto type = int(DType::Q4_0); type <= int(DType::Q2_0); ++type)
            row(nameOf(DType(type)).data(), matrix, DType(type), {256, 256}, true);
        for (const auto type : {DType::I8, DType::U8, DType::I32, DType::I64, DType::Bool, DType::F8_E8M0, DType::F4,
                 DType::F6_E2M3, DType::C64})
            row(nameOf(type).data(), matrix, type, {256, 256}, false);
        row("vector", matrix, DType::F32, {16}, false);
        row("scalar", matrix, DType::F32, {}, false);
        row("empty", matrix, DType::F32, {0, 4}, false);
        row("stack", "blk.0.ffn_up_exps.weight", DType::F32, {2, 3, 4}, true);
        row("norm", "model.norm.weight", DType::F32, {4, 4}, false);
        row("bias", "h.0.attn.c_attn.bias", DType::F32, {4, 4}, false);
        row("positions", "wpe.weight", DType::F32, {4, 4}, false);
        row("embedding", "wte.weight", DType::F32, {4, 4}, true);
        row("router", "model.layers.0.mlp.gate.weight", DType::F32, {4, 4}, true);
        row("unknown", "conv.weight", DType::F32, {4, 4, 3}, true);
    }

    void constantsOfGraphsAreNot()
    {
        auto mask = tensor("weight", DType::F32, {4, 4});
        QVERIFY(mask.quantizable());
        mask.auxiliary = true;
        QVERIFY(!mask.quantizable());
    }

    void quantizable()
    {
        QFETCH(const QByteArray, name);
        QFETCH(const int, dtype);
        QFETCH(const QList<int>, shape);
        QFETCH(const bool, expected);
        QCOMPARE(tensor(name, DType(dtype), Shape(shape.begin(), shape.end())).quantizable(), expected);
    }

    void tiedCopiesCountOnce()
    {
        Model model;
        model.tensors = {tensor("model.embed_tokens.weight", DType::F32, {10, 4}),
            tensor("model.layers.0.self_attn.q_proj.weight", DType::F32, {4, 4}),
            tensor("lm_head.weight", DType::F32, {10, 4})};
        QCOMPARE(model.parameters(), std::uint64_t(96));
        model.config.tiedEmbeddings = true;
        QCOMPARE(model.parameters(), std::uint64_t(56));
        QCOMPARE(catalogOf(model).parameters(), std::uint64_t(56));
        model.tensors[2].view.shape = {12, 4};  // not a copy after all
        QCOMPARE(model.parameters(), std::uint64_t(104));
    }

    void catalogHoldsWhatTheModelSays()
    {
        Model model;
        model.path = "a/b\xff";
        model.format = "gguf";
        model.naming = NamingWorld::Gguf;
        model.fingerprint = "00ff";
        model.synthetic = true;
        model.config.layers = 1;
        model.warnings = {"Careful."};
        model.tensors = {tensor("blk.0.ffn_up_exps.weight", DType::F16, {2, 3, 4}),
            tensor("h.0.attn.c_attn.weight", DType::F32, {4, 12})};
        model.tensors[1].view.transposed = true;
        const auto catalog = catalogOf(model);
        QCOMPARE(catalog.path, std::string("a/b\xEF\xBF\xBD"));
        QCOMPARE(catalog.format, model.format);
        QVERIFY(catalog.naming == model.naming && catalog.synthetic && catalog.config == model.config);
        QCOMPARE(catalog.fingerprint, model.fingerprint);
        QVERIFY(catalog.warnings == model.warnings);
        QVERIFY(catalog.tensors[0].matrix == (MatrixShape {6, 4}));
        QVERIFY(catalog.tensors[1].matrix == (MatrixShape {12, 4}));
        QVERIFY(catalog.tensors[0].quantizable);
        QVERIFY(catalog.tensors[0].parts.expertStack);
        QVERIFY(catalog.find("h.0.attn.c_attn.weight") == std::size_t(1));
        QVERIFY(!catalog.find("h.0"));
    }

    void config_data()
    {
        QTest::addColumn<QByteArray>("text");
        QTest::addColumn<QList<qlonglong>>("figures");  // in the order of ModelConfig, -1 for absent
        const auto row = [](const char* name, const char* text, const QList<qlonglong>& figures) {
            QTest::newRow(name) << QByteArray(text) << figures;
        };
        row("Llama 3 8B",
            R"({"model_type":"llama","hidden_size":4096,"num_hidden_layers":32,"num_attention_heads":32,
                "num_key_value_heads":8,"intermediate_size":14336,"vocab_size":128256,"max_position_embeddings":8192,
                "rope_theta":500000.0,"rope_scaling":{"factor":8.0,"vocab_size":1},"tie_word_embeddings":false})",
            {4096, 32, 32, 8, 128, 14336, 128256, 8192, -1, -1, -1});
        row("Mixtral",
            R"({"model_type":"mixtral","hidden_size":6144,"num_hidden_layers":56,"num_attention_heads":48,
                "num_key_value_heads":8,"intermediate_size":16384,"vocab_size":32000,"max_position_embeddings":65536,
                "num_local_experts":8,"num_experts_per_tok":2,"sliding_window":null})",
            {6144, 56, 48, 8, 128, 16384, 32000, 65536, 8, 2, -1});
        row("Qwen 2 with the window off",
            R"({"model_type":"qwen2","hidden_size":896,"num_attention_heads":14,"num_key_value_heads":2,
                "sliding_window":32768,"use_sliding_window":false})",
            {896, -1, 14, 2, 64, -1, -1, -1, -1, -1, -1});
        row("Mistral with a window", R"({"model_type":"mistral","sliding_window":4096})",
            {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 4096});
        row("GPT-2",
            R"({"model_type":"gpt2","n_embd":768,"n_layer":12,"n_head":12,"n_positions":1024,"n_inner":null,"vocab_size":50257})",
            {768, 12, 12, 12, 64, 3072, 50257, 1024, -1, -1, -1});
        row("Falcon 7B",
            R"({"model_type":"falcon","hidden_size":4544,"num_hidden_layers":32,"num_attention_heads":71,"multi_query":true,"vocab_size":65024})",
            {4544, 32, 71, 1, 64, 18176, 65024, -1, -1, -1, -1});
        row("Falcon 40B",
            R"({"model_type":"falcon","hidden_size":8192,"num_attention_heads":128,"num_kv_heads":8,"multi_query":true,"new_decoder_architecture":true})",
            {8192, -1, 128, 8, 64, 32768, -1, -1, -1, -1, -1});
        row("DeepSeek", R"({"model_type":"deepseek_v3","n_routed_experts":256,"num_experts_per_tok":8,"head_dim":192})",
            {-1, -1, -1, -1, 192, -1, -1, -1, 256, 8, -1});
        row("text part",
            R"({"model_type":"gemma3","text_config":{"model_type":"gemma3_text","hidden_size":2560,"num_attention_heads":8,"head_dim":256},
                "vision_config":{"hidden_size":1152},"vocab_size":262208})",
            {2560, -1, 8, 8, 256, -1, 262208, -1, -1, -1, -1});
        row("wrong types",
            R"({"hidden_size":"4096","num_hidden_layers":-1,"num_attention_heads":1.5,"vocab_size":[1],"num_experts":true})",
            {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1});
        row("no heads", R"({"hidden_size":64,"num_attention_heads":0})", {64, -1, 0, 0, -1, -1, -1, -1, -1, -1, -1});
        row("byte order mark", "\xEF\xBB\xBF{\"hidden_size\":64}", {64, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1});
    }

    void config()
    {
        QFETCH(const QByteArray, text);
        QFETCH(const QList<qlonglong>, figures);
        const auto file = parseModelConfig(text.toStdString(), "config.json");
        QVERIFY2(file, file ? "" : describe(file.error()).c_str());
        const auto& c = file->config;
        QList<qlonglong> read;
        for (const auto& figure : {c.hiddenSize, c.layers, c.heads, c.keyValueHeads, c.headDimension,
                 c.intermediateSize, c.vocabulary, c.contextLength, c.experts, c.expertsPerToken, c.slidingWindow})
            read << (figure ? qlonglong(*figure) : -1);
        QCOMPARE(read, figures);
    }

    void configSaysMore()
    {
        const auto file = parseModelConfig(R"({"model_type":"llava","text_config":{"tie_word_embeddings":true}})", "c");
        QVERIFY(file);
        QCOMPARE(file->config.architecture, std::string("llava"));
        QVERIFY(file->tied == true && file->config.tiedEmbeddings);
    }

    void brokenConfig_data()
    {
        QTest::addColumn<QByteArray>("text");
        QTest::addColumn<int>("offset");
        QTest::newRow("empty") << QByteArray() << 0;
        QTest::newRow("list") << QByteArray("[1]") << 0;
        QTest::newRow("number") << QByteArray("7") << 0;
        QTest::newRow("cut") << QByteArray(R"({"a":1)") << 6;
        QTest::newRow("key twice") << QByteArray(R"({"a":1,"a":2})") << 7;
        QTest::newRow("key twice inside") << QByteArray(R"({"a":{"b":1,"c":3,"b":2}})") << 18;
        QTest::newRow("deep") << QByteArray("{\"a\":" + QByteArray(100, '[')) << 5 + 63;
        QTest::newRow("binary") << QByteArray("{\"a\":\x01}") << 5;
    }

    void brokenConfig()
    {
        QFETCH(const QByteArray, text);
        QFETCH(const int, offset);
        const auto file = parseModelConfig(text.toStdString(), "config.json");
        QVERIFY(!file);
        QVERIFY(file.error().code == ErrorCode::Malformed);
        QCOMPARE(file.error().where, std::string("config.json"));
        QVERIFY2(file.error().offset == std::uint64_t(offset), describe(file.error()).c_str());
    }
};

QTEST_APPLESS_MAIN(TestModel)
#include "tst_model.moc"
