// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/recipes/plan.h"
#include "tests/support/model_catalogs.h"

#include <QTest>

using namespace quantloupe;

class TestPlan : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    // Two blocks of hidden 64, intermediate 172, 32 key/value channels, 512 tokens, BF16, tied. int4:g128, FP16 scales:
    //   q, o       64 rows × (32 + 2) bytes         = 2176 each
    //   k, v       32 rows × (32 + 2)               = 1088 each
    //   gate, up  172 rows × (32 + 2)               = 5848 each
    //   down       64 rows × (86 + 2 groups × 2)    = 5760
    //   block                                       = 23984
    void countsEveryByte()
    {
        const auto model = tests::llama();
        const auto plan = resolve(Recipe::uniform(tests::scheme("int4:g128"), model), model);
        QCOMPARE(plan.tensors.size(), model.tensors.size());
        QCOMPARE(plan.bytes, std::uint64_t(2 * 23984 + 512 * 64 * 2 + 5 * 64 * 2));
        QCOMPARE(plan.baseBytes, std::uint64_t((2 * 45312 + 512 * 64 + 5 * 64) * 2));
        QCOMPARE(plan.quantizedParameters, std::uint64_t(2 * 45312));
        QCOMPARE(plan.bitsPerWeight, 114144.0 * 8 / 123712);
        const auto down = plan.tensors[*model.find("model.layers.1.mlp.down_proj.weight")];
        QCOMPARE(down.bytes, std::uint64_t(5760));
        QVERIFY(down.scheme == tests::scheme("int4"));
        QVERIFY(!plan.tensors[*model.find("model.embed_tokens.weight")].scheme);
    }

    void sumsToItsTensors_data()
    {
        QTest::addColumn<int>("family");
        QTest::newRow("llama") << 0;
        QTest::newRow("mixtral") << 1;
        QTest::newRow("gpt-2") << 2;
        QTest::newRow("gguf with expert stacks") << 3;
    }

    void sumsToItsTensors()
    {
        QFETCH(int, family);
        const auto model = family == 0 ? tests::llama()
            : family == 1              ? tests::mixtral()
            : family == 2              ? tests::gpt2()
                                       : tests::gguf({.tied = false}, 4);
        const auto plan = resolve(Recipe::uniform(tests::scheme("int8"), model), model);
        std::uint64_t bytes = 0;
        for (const auto& planned : plan.tensors) {
            const auto& tensor = model.tensors[planned.tensor];
            // int8 per channel: a byte per weight, two per row.
            QCOMPARE(planned.bytes, planned.scheme ? tensor.parameters() + 2 * tensor.matrix.rows : tensor.bytes);
            bytes += planned.bytes;
        }
        QCOMPARE(plan.bytes, bytes);
        QCOMPARE(plan.baseBytes, model.bytes());
        QVERIFY(plan.quantizedParameters > 0);
    }

    void lastRuleWinsAndKeepWinsOverRules()
    {
        const auto model = tests::llama();
        auto recipe = Recipe::uniform(tests::scheme("int4"), model);
        recipe.rules = {
            {"model.layers.0.mlp.up_proj.weight", {tests::scheme("int2"), {}}},
            {"model.layers.*.mlp.*", {tests::scheme("int8"), {}}},
            {"model.layers.1.mlp.down_proj.weight", {tests::scheme("int6"), {}}},
            {"*.q_proj.weight", {tests::scheme("int5"), {}}},
            {"model.layers.?.self_attn.q_proj.weight", {tests::scheme("int3"), {}}},
            {"model.embed_tokens.weight", {tests::scheme("int8"), {}}},
            {"*norm*", {tests::scheme("int8"), {}}},
        };
        const auto plan = resolve(recipe, model);
        const auto schemeOf = [&](const char* name) {
            const auto& planned = plan.tensors[*model.find(name)];
            return planned.scheme ? planned.scheme->toString() : std::string("kept");
        };
        QCOMPARE(schemeOf("model.layers.0.mlp.up_proj.weight"), std::string("int8"));
        QCOMPARE(schemeOf("model.layers.1.mlp.up_proj.weight"), std::string("int8"));
        QCOMPARE(schemeOf("model.layers.1.mlp.down_proj.weight"), tests::scheme("int6").toString());
        QCOMPARE(schemeOf("model.layers.0.self_attn.q_proj.weight"), std::string("int3"));
        QCOMPARE(schemeOf("model.layers.0.self_attn.k_proj.weight"), std::string("int4"));
        QCOMPARE(schemeOf("model.embed_tokens.weight"), std::string("kept"));
        QCOMPARE(schemeOf("model.norm.weight"), std::string("kept"));

        recipe.keep.clear();  // norms cannot be quantized, whatever is asked; the embedding can
        const auto without = resolve(recipe, model);
        QVERIFY(without.tensors[*model.find("model.embed_tokens.weight")].scheme == tests::scheme("int8"));
        QVERIFY(!without.tensors[*model.find("model.norm.weight")].scheme);
    }

    void tiedHeadCountsOnce()
    {
        auto model = tests::llama({.tied = false});
        const auto head = *model.find("lm_head.weight");
        Recipe recipe;
        recipe.defaultPlan.weights = tests::scheme("int8");
        const auto separate = resolve(recipe, model);
        model.config.tiedEmbeddings = true;
        QCOMPARE(tiedHead(model), std::optional<std::size_t>(head));
        const auto tied = resolve(recipe, model);
        const std::uint64_t headBytes = 512 * 64 + 512 * 2;
        QCOMPARE(separate.tensors[head].bytes, headBytes);
        QCOMPARE(tied.tensors[head].bytes, std::uint64_t(0));
        QCOMPARE(tied.bytes, separate.bytes - headBytes);
        QCOMPARE(tied.baseBytes, separate.baseBytes - 512 * 64 * 2);
        QCOMPARE(tied.bitsPerWeight, double(tied.bytes) * 8 / 123712);
        recipe.keep = {"model.embed_tokens.weight"};
        QVERIFY(!resolve(recipe, model).tensors[head].scheme);
        QVERIFY(!tiedHead(tests::llama()));
    }

    void activationsComeFromTheRuleOrElseTheRecipe()
    {
        const auto model = tests::llama();
        auto recipe = Recipe::uniform(tests::scheme("int8"), model);
        recipe.rules = {{"*.q_proj.weight", LayerPlan::parse("int8/fp8_e4m3:token").value()}};
        const auto query = *model.find("model.layers.0.self_attn.q_proj.weight");
        const auto key = *model.find("model.layers.0.self_attn.k_proj.weight");
        QVERIFY(!resolve(recipe, model).tensors[key].activations);
        recipe.activations = tests::scheme("int8:token");
        const auto plan = resolve(recipe, model);
        QVERIFY(plan.tensors[key].activations == tests::scheme("int8:token"));
        QVERIFY(plan.tensors[query].activations == tests::scheme("fp8_e4m3:token"));
        QVERIFY(!plan.tensors[*model.find("model.norm.weight")].activations);
    }

    void uniformKeepsByCustom_data()
    {
        QTest::addColumn<int>("family");
        QTest::addColumn<QStringList>("keep");
        QTest::newRow("llama, tied") << 0 << QStringList {"*norm*", "model.embed_tokens.weight"};
        QTest::newRow("llama") << 1 << QStringList {"*norm*", "model.embed_tokens.weight", "lm_head.weight"};
        QTest::newRow("qwen") << 2 << QStringList {"*norm*", "*bias", "model.embed_tokens.weight"};
        QTest::newRow("mixtral") << 3
                                 << QStringList {"*norm*", "model.layers.*.block_sparse_moe.gate.weight",
                                        "model.embed_tokens.weight", "lm_head.weight"};
        QTest::newRow("gpt-2") << 4 << QStringList {"*.ln_*", "ln_*", "*bias", "wpe.weight", "wte.weight"};
        QTest::newRow("gguf") << 5 << QStringList {"*norm*", "token_embd.weight", "output.weight"};
    }

    void uniformKeepsByCustom()
    {
        QFETCH(int, family);
        QFETCH(QStringList, keep);
        const auto model = family == 0 ? tests::llama()
            : family == 1              ? tests::llama({.tied = false})
            : family == 2              ? tests::llama({}, true)
            : family == 3              ? tests::mixtral()
            : family == 4              ? tests::gpt2()
                                       : tests::gguf({.tied = false});
        const auto recipe = Recipe::uniform(tests::scheme("int4"), model);
        QStringList got;
        for (const auto& pattern : recipe.keep)
            got << QString::fromStdString(pattern);
        QCOMPARE(got, keep);
        QCOMPARE(recipe.fingerprint, model.fingerprint);
        QCOMPARE(recipe.parameters, model.parameters());
        // Exactly the matrices inside the blocks are quantized.
        for (const auto& planned : resolve(recipe, model).tensors) {
            const auto& tensor = model.tensors[planned.tensor];
            const bool inner = tensor.quantizable && tensor.parts.block && tensor.parts.role != TensorRole::Router;
            QCOMPARE(planned.scheme.has_value(), inner);
        }
    }
};

QTEST_APPLESS_MAIN(TestPlan)
#include "tst_plan.moc"
