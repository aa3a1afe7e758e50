// SPDX-License-Identifier: GPL-3.0-or-later
// The exported rules are read back the way llama-quantize reads them: tokens split at blanks and at the first '=', the
// regex lower-cased and searched in the GGUF name, the first match deciding; options for embedding and output before.
#include "core/export_targets/export_target.h"
#include "tests/support/model_catalogs.h"

#include <QTest>

#include <regex>
#include <set>
#include <sstream>

using namespace quantloupe;

namespace {

struct Rule {
    std::string name, type;
    std::regex regex;
};

std::string lower(std::string text)
{
    for (auto& c : text)
        c = char(std::tolower(static_cast<unsigned char>(c)));
    return text;
}

std::vector<Rule> parseRules(const std::string& file)
{
    std::vector<Rule> rules;
    std::istringstream stream(file);
    for (std::string token; stream >> token;) {
        const auto equals = token.find('=');
        rules.push_back(
            {token.substr(0, equals), lower(token.substr(equals + 1)), std::regex(lower(token.substr(0, equals)))});
    }
    return rules;
}

std::string option(const std::string& command, const std::string& name)
{
    std::istringstream stream(command);
    for (std::string word; stream >> word;)
        if (word == name && stream >> word)
            return word;
    return {};
}

Result<ExportResult> exported(const Recipe& recipe, const ModelCatalog& model)
{
    return findExportTarget("llama.cpp")->write(recipe, resolve(recipe, model), model);
}

std::string joined(const std::vector<std::string>& lines)
{
    std::string text;
    for (const auto& line : lines)
        text += line + "\n";
    return text;
}

ModelCatalog modelNamed(const QString& name)
{
    const tests::LlamaShape wide {.blocks = 12, .hidden = 256, .intermediate = 768, .tied = false};
    return name == "llama"  ? tests::llama(wide)
        : name == "qwen"    ? tests::llama({.hidden = 256, .intermediate = 768}, true)
        : name == "mixtral" ? tests::mixtral(4, wide)
        : name == "gpt2"    ? tests::gpt2({.hidden = 256})
        : name == "gguf"    ? tests::gguf(wide)
                            : tests::gguf(wide, 4);
}

}  // namespace

class TestLlamaCpp : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void everyTensorMatchesOneRule_data()
    {
        QTest::addColumn<QString>("family");
        QTest::addColumn<bool>("mixed");
        for (const char* family : {"llama", "qwen", "mixtral", "gpt2", "gguf", "gguf stacks"})
            for (const bool mixed : {false, true})
                QTest::addRow("%s%s", family, mixed ? ", mixed" : "") << family << mixed;
    }

    void everyTensorMatchesOneRule()
    {
        QFETCH(QString, family);
        QFETCH(bool, mixed);
        const auto model = modelNamed(family);
        auto recipe = Recipe::uniform(tests::scheme("int4:g32:symf"), model);
        if (mixed)
            for (std::size_t i = 0; i < model.tensors.size(); i += 3)
                recipe.rules.push_back({model.tensors[i].name, {tests::scheme(i % 2 ? "int8:g32" : "q6_k"), {}}});
        const auto plan = resolve(recipe, model);
        const auto result = exported(recipe, model);
        QVERIFY2(result, qPrintable(result ? QString() : QString::fromStdString(describe(result.error()))));
        const auto rules = parseRules(result->files[0].content);
        QVERIFY(!rules.empty());

        std::vector<int> hits(rules.size(), 0);
        std::set<std::string> seen;
        for (const auto& planned : plan.tensors) {
            const auto& tensor = model.tensors[planned.tensor];
            const auto name = ggufName(tensor.name, model.config.architecture).value();
            int matching = 0;
            std::string type;
            for (std::size_t i = 0; i < rules.size(); ++i) {
                if (!std::regex_search(name, rules[i].regex))
                    continue;
                ++matching;
                ++hits[i];
                type = rules[i].type;
            }
            const auto role = tensor.parts.role;
            const bool table = name == "token_embd.weight" || name == "output.weight";
            const bool quantized = name.ends_with("weight") && tensor.shape.size() >= 2 && role != TensorRole::Router
                && role != TensorRole::Position;
            QVERIFY2((matching == 1) == (quantized && !table), name.c_str());
            QVERIFY(matching <= 1);
            if (table)
                type = option(
                    result->command, name == "output.weight" ? "--output-tensor-type" : "--token-embedding-type");
            if (!quantized || tensor.parts.expert)
                continue;  // stacks of experts have a test of their own
            const auto scheme = planned.scheme ? planned.scheme->toString() : "kept";
            QCOMPARE(type,
                std::string(scheme == "kept"   ? "bf16"
                        : scheme == "int8:g32" ? "q8_0"
                        : scheme == "q6_k"     ? "q6_k"
                                               : "q4_0"));
        }
        for (std::size_t i = 0; i < rules.size(); ++i) {
            QVERIFY2(hits[i] > 0, rules[i].name.c_str());
            QVERIFY(rules[i].name.starts_with('^') && rules[i].name.ends_with('$'));
            QVERIFY(rules[i].name == lower(rules[i].name));
            QVERIFY(seen.insert(rules[i].name).second);
        }
    }

    void wholeFileAndCommand()
    {
        auto model = tests::llama({.hidden = 256, .intermediate = 768, .tied = false});
        model.path = "/models/my model.safetensors";
        auto recipe = Recipe::uniform(tests::scheme("int4:g32:symf"), model);
        recipe.rules = {{"model.layers.1.mlp.down_proj.weight", {tests::scheme("int8:g32"), {}}}};
        const auto result = exported(recipe, model).value();
        QCOMPARE(result.files[0].content,
            std::string("^blk\\.(0|1)\\.attn_q\\.weight$=q4_0\n"
                        "^blk\\.(0|1)\\.attn_k\\.weight$=q4_0\n"
                        "^blk\\.(0|1)\\.attn_v\\.weight$=q4_0\n"
                        "^blk\\.(0|1)\\.attn_output\\.weight$=q4_0\n"
                        "^blk\\.(0|1)\\.ffn_gate\\.weight$=q4_0\n"
                        "^blk\\.(0|1)\\.ffn_up\\.weight$=q4_0\n"
                        "^blk\\.0\\.ffn_down\\.weight$=q4_0\n"
                        "^blk\\.1\\.ffn_down\\.weight$=q8_0\n"));
        QCOMPARE(result.command,
            std::string("llama-quantize --token-embedding-type bf16 --output-tensor-type bf16 --tensor-type-file "
                        "'my model.tensor-types.txt' 'my model.gguf' 'my model-quantized.gguf' Q4_0"));
        QVERIFY2(result.warnings.empty(), joined(result.warnings).c_str());
        // 2 × (2·256·256 + 2·128·256 + 2·768·256) + 768·256 weights at 4.5 bits, 768·256 at 8.5, two BF16 tables.
        const auto bytes = (2 * (2 * 256 * 256 + 2 * 128 * 256 + 2 * 768 * 256) + 768 * 256) / 32 * 18
            + 768 * 256 / 32 * 34 + 2 * 512 * 256 * 2;
        QVERIFY2(result.files[1].content.find("total: " + std::to_string(bytes) + " bytes") != std::string::npos,
            result.files[1].content.c_str());
    }

    void types_data()
    {
        QTest::addColumn<QByteArray>("scheme");
        QTest::addColumn<QByteArray>("type");
        QTest::addColumn<bool>("exact");
        QTest::addColumn<QByteArray>("base");
        const auto row = [](const char* scheme, const char* type, bool exact, const char* base) {
            QTest::newRow(scheme) << QByteArray(scheme) << QByteArray(type) << exact << QByteArray(base);
        };
        row("int8:g32", "q8_0", true, "Q8_0");
        row("int8", "q8_0", false, "Q8_0");
        row("int8:g32:asym", "q8_0", false, "Q8_0");
        row("int7", "q8_0", false, "Q8_0");
        row("int6", "q6_K", false, "Q6_K");
        row("int5:g32:symf", "q5_0", true, "Q5_0");
        row("int5:g32:asymf", "q5_1", true, "Q5_1");
        row("int4:g32:symf", "q4_0", true, "Q4_0");
        row("int4:g32", "q4_0", false, "Q4_0");
        row("int4", "q4_0", false, "Q4_0");
        row("int4:g32:asymf", "q4_1", true, "Q4_1");
        row("int4:g32:asym", "q4_1", false, "Q4_1");
        row("int4:asym", "q4_K", false, "Q4_K_S");
        row("int3", "q3_K", false, "Q3_K_S");
        row("int2", "q2_K", false, "Q2_K");
        row("nf4", "iq4_nl", false, "IQ4_NL");
        row("ternary", "tq2_0", false, "TQ2_0");
        row("fp16", "f16", true, "Q8_0");  // beside BF16 tables: no single unquantized base
        row("bf16", "bf16", true, "BF16");
        row("mxfp4", "mxfp4", true, "MXFP4_MOE");
        for (const char* name : {"q4_0", "q4_1", "q5_0", "q5_1", "q8_0"})
            row(name, name, true, QByteArray(name).toUpper().constData());
        row("q2_k", "q2_K", true, "Q2_K");
        row("q3_k", "q3_K", true, "Q3_K_S");
        row("q4_k", "q4_K", true, "Q4_K_S");
        row("q5_k", "q5_K", true, "Q5_K_S");
        row("q6_k", "q6_K", true, "Q6_K");
        row("iq4_nl", "iq4_nl", true, "IQ4_NL");
        row("iq4_xs", "iq4_xs", true, "IQ4_XS");
    }

    void types()
    {
        QFETCH(QByteArray, scheme);
        QFETCH(QByteArray, type);
        QFETCH(bool, exact);
        QFETCH(QByteArray, base);
        const auto model = tests::llama({.hidden = 256, .intermediate = 768});
        const auto result = exported(Recipe::uniform(tests::scheme(scheme.constData()), model), model);
        QVERIFY2(result, qPrintable(result ? QString() : QString::fromStdString(describe(result.error()))));
        for (const auto& rule : parseRules(result->files[0].content))
            QCOMPARE(rule.type, lower(type.toStdString()));
        QVERIFY(QByteArray::fromStdString(result->files[0].content).contains("=" + type + "\n"));
        QVERIFY2(result->warnings.empty() == exact, joined(result->warnings).c_str());
        QVERIFY2(QByteArray::fromStdString(result->command).endsWith(" " + base), result->command.c_str());
    }

    void refuses_data()
    {
        QTest::addColumn<QByteArray>("scheme");
        for (const char* scheme : {"fp8_e4m3", "fp8_e5m2", "int16", "fp4_bnb", "lut4", "pot4", "nvfp4", "mxint8"})
            QTest::newRow(scheme) << QByteArray(scheme);
    }

    void refuses()
    {
        QFETCH(QByteArray, scheme);
        const auto model = tests::llama();
        auto recipe = Recipe::uniform(tests::scheme("int8"), model);
        recipe.rules = {{"*.1.mlp.up_proj.weight", {tests::scheme(scheme.constData()), {}}}};
        const auto result = exported(recipe, model);
        QCOMPARE(result.error().code, ErrorCode::Unsupported);
        QCOMPARE(result.error().where, std::string("model.layers.1.mlp.up_proj.weight"));
        QVERIFY(QByteArray::fromStdString(result.error().reason)
                    .contains(tests::scheme(scheme.constData()).toString().c_str()));
    }

    void rowsThatDoNotFillBlocksFallBack_data()
    {
        QTest::addColumn<QByteArray>("scheme");
        QTest::addColumn<QByteArray>("half");    // rows of 64
        QTest::addColumn<QByteArray>("ragged");  // rows of 172
        QTest::newRow("q4_k") << QByteArray("q4_k") << QByteArray("q5_0") << QByteArray("f16");
        QTest::newRow("q5_k") << QByteArray("q5_k") << QByteArray("q5_1") << QByteArray("f16");
        QTest::newRow("q6_k") << QByteArray("q6_k") << QByteArray("q8_0") << QByteArray("f16");
        QTest::newRow("q3_k") << QByteArray("q3_k") << QByteArray("q4_0") << QByteArray("f16");
        QTest::newRow("q2_k") << QByteArray("q2_k") << QByteArray("q4_0") << QByteArray("f16");
        QTest::newRow("ternary") << QByteArray("ternary") << QByteArray("q4_0") << QByteArray("f16");
        QTest::newRow("iq4_xs") << QByteArray("iq4_xs") << QByteArray("iq4_nl") << QByteArray("f16");
        QTest::newRow("q4_0") << QByteArray("q4_0") << QByteArray("q4_0") << QByteArray("f16");
    }

    void rowsThatDoNotFillBlocksFallBack()
    {
        QFETCH(QByteArray, scheme);
        QFETCH(QByteArray, half);
        QFETCH(QByteArray, ragged);
        const auto model = tests::llama();
        const auto result = exported(Recipe::uniform(tests::scheme(scheme.constData()), model), model).value();
        for (const auto& rule : parseRules(result.files[0].content))
            QCOMPARE(
                QByteArray::fromStdString(rule.type), rule.name.find("ffn_down") != std::string::npos ? ragged : half);
        QVERIFY(joined(result.warnings).find("blk.0.ffn_down.weight") != std::string::npos);
    }

    void expertsShareTheStrictestType()
    {
        const auto model = tests::mixtral(4, {.hidden = 256, .intermediate = 768});
        auto recipe = Recipe::uniform(tests::scheme("int4:g32:symf"), model);
        recipe.rules = {{"model.layers.1.block_sparse_moe.experts.2.w1.weight", {tests::scheme("int8:g32"), {}}}};
        const auto result = exported(recipe, model).value();
        for (const auto& rule : parseRules(result.files[0].content)) {
            QVERIFY(rule.name.find("ffn_gate_inp") == std::string::npos);
            QCOMPARE(rule.type, std::string(rule.name == "^blk\\.1\\.ffn_gate_exps\\.weight$" ? "q8_0" : "q4_0"));
        }
        QCOMPARE(result.warnings.size(), std::size_t(1));
        QVERIFY(result.warnings[0].find("blk.1.ffn_gate_exps.weight") != std::string::npos);
    }

    void tablesHaveOptions()
    {
        auto model = tests::llama({.hidden = 256, .intermediate = 768});
        auto recipe = Recipe::uniform(tests::scheme("int4"), model);
        recipe.keep = {"*norm*"};
        recipe.rules = {{"model.embed_tokens.weight", {tests::scheme("int8:g32"), {}}}};
        const auto tied = exported(recipe, model).value();
        QCOMPARE(option(tied.command, "--token-embedding-type"), std::string("q8_0"));
        QCOMPARE(option(tied.command, "--output-tensor-type"), std::string("q8_0"));
        model = tests::llama({.hidden = 256, .intermediate = 768, .tied = false});
        recipe.rules.push_back({"lm_head.weight", {tests::scheme("q6_k"), {}}});
        const auto separate = exported(recipe, model).value();
        QCOMPARE(option(separate.command, "--token-embedding-type"), std::string("q8_0"));
        QCOMPARE(option(separate.command, "--output-tensor-type"), std::string("q6_K"));
        QVERIFY(separate.files[0].content.find("output\\.weight")
            == separate.files[0].content.find("attn_output\\.weight") + 5);
    }

    void saysWhatDoesNotTravel()
    {
        const auto model = tests::llama({.hidden = 256, .intermediate = 768});
        auto recipe = Recipe::uniform(tests::scheme("int4:g32:symf:mse"), model);
        recipe.activations = tests::scheme("int8:token");
        recipe.keyValueCache = tests::scheme("int8:token");
        const auto warnings = joined(exported(recipe, model).value().warnings);
        QVERIFY2(warnings.find("range") != std::string::npos, warnings.c_str());
        QVERIFY(warnings.find("activation") != std::string::npos);
        QVERIFY(warnings.find("--cache-type-k") != std::string::npos);
    }

    void refusesNamesThatRulesCannotHold()
    {
        auto model = tests::gguf({.hidden = 256, .intermediate = 768});
        auto recipe = Recipe::uniform(tests::scheme("int8:g32"), model);
        tests::addTensor(model, "blk.0.attn q;.weight", {256, 256});
        const auto result = exported(recipe, model);
        QVERIFY(!result);
        QCOMPARE(result.error().code, ErrorCode::Unsupported);
        QCOMPARE(result.error().where, std::string("blk.0.attn q;.weight"));
    }
};

QTEST_APPLESS_MAIN(TestLlamaCpp)
#include "tst_llama_cpp.moc"
