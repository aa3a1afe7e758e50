// SPDX-License-Identifier: GPL-3.0-or-later
// Files for other tools: parsed as the tools parse them, applied by their rules written here anew, and read back.
#include "core/export_targets/export_target.h"
#include "core/export_targets/lint_target.h"
#include "core/model/hugging_face_names.h"
#include "tests/support/model_catalogs.h"

#include <QRegularExpression>
#include <QTest>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <regex>
#include <sstream>

using namespace quantloupe;
using namespace quantloupe::tests;
using nlohmann::ordered_json;

namespace {

ModelCatalog model()
{
    return llama({.blocks = 3, .hidden = 128, .intermediate = 256, .heads = 8, .keyValueHeads = 8, .vocabulary = 512});
}

/// Linear layers by `scheme`, those of block 1 named down by `other`, all else as stored.
Recipe mixed(const std::string& scheme, const std::string& other)
{
    Recipe recipe;
    recipe.defaultPlan = *LayerPlan::parse(scheme);
    recipe.keep = {"*norm*", "*embed_tokens*", "*layers.2.mlp.up_proj*"};
    recipe.rules = {{"model.layers.1.mlp.down_proj.weight", *LayerPlan::parse(other)}};
    return recipe;
}

Result<ExportResult> exported(const std::string& target, const Recipe& recipe, const ModelCatalog& catalog)
{
    return findExportTarget(target)->write(recipe, resolve(recipe, catalog), catalog);
}

std::string moduleName(const CatalogTensor& tensor)
{
    return tensor.name.substr(0, tensor.name.size() - std::string(".weight").size());
}

std::vector<std::optional<std::string>> schemesOf(const Recipe& recipe, const ModelCatalog& catalog)
{
    std::vector<std::optional<std::string>> schemes;
    for (const auto& planned : resolve(recipe, catalog).tensors)
        schemes.push_back(planned.scheme ? std::optional(planned.scheme->toString()
                              + (planned.activations ? "/" + planned.activations->toString() : std::string()))
                                         : std::nullopt);
    return schemes;
}

/// Python's re.match.
bool reMatches(const std::string& pattern, const std::string& text)
{
    return std::regex_search(text, std::regex(pattern), std::regex_constants::match_continuous);
}

}  // namespace

class TestRecipeTargets : public QObject
{
    Q_OBJECT

private Q_SLOTS:
    void readingBackGivesTheSameSchemes_data()
    {
        QTest::addColumn<QString>("target");
        QTest::addColumn<QString>("scheme");
        QTest::addColumn<QString>("other");
        const auto row = [](const char* target, const char* scheme, const char* other) {
            QTest::addRow("%s %s", target, scheme) << target << scheme << other;
        };
        row("quantloupe", "int4:g32:asym:mse+gptq", "nf4");
        row("llama.cpp", "q4_0", "q8_0");
        row("llama.cpp", "iq4_nl", "fp16");
        row("compressed-tensors", "int4:g32:symf", "int8:channel:asym");
        row("compressed-tensors", "fp8_e4m3", "mxfp4");
        row("compressed-tensors", "int8:symf/int8:token:symf", "nvfp4");
        row("gptqmodel", "int4:g32:symf", "int8:channel:symf");
        row("gptqmodel", "int3:g64:asym", "int2:g32:symf");
        row("mlx", "int4:g64:asymf", "int6:g32:asymf");
        row("mlx", "mxfp4", "int8:g128:asymf");
    }
    void readingBackGivesTheSameSchemes()
    {
        QFETCH(QString, target);
        QFETCH(QString, scheme);
        QFETCH(QString, other);
        const auto catalog = model();
        const auto recipe = mixed(scheme.toStdString(), other.toStdString());
        const auto result = exported(target.toStdString(), recipe, catalog);
        QVERIFY2(result, result ? "" : qPrintable(QString::fromStdString(describe(result.error()))));
        auto text = result->files.front().content;
        if (!result->command.empty())
            text += "\n" + result->command;
        const auto read = importRecipe(*findExportTarget(target.toStdString()), text, catalog, "test");
        QVERIFY2(read, read ? "" : qPrintable(QString::fromStdString(describe(read.error()))));
        QCOMPARE(schemesOf(read->recipe, catalog), schemesOf(recipe, catalog));
        QCOMPARE(read->warnings, std::vector<std::string> {});
        for (const auto& finding : lintAgainst(*findExportTarget(target.toStdString()), recipe, catalog))
            QVERIFY2(finding.severity == LintSeverity::Note, finding.text.c_str());
    }

    void gptqTakesTheFirstRule()
    {
        const auto catalog = model();
        const auto config = ordered_json::parse(
            exported("gptqmodel", mixed("int4:g32:symf", "int8:channel:symf"), catalog)->files.front().content);
        QCOMPARE(config["bits"].get<int>(), 4);
        QCOMPARE(config["group_size"].get<int>(), 32);
        for (const auto& tensor : catalog.tensors) {
            if (!tensor.quantizable || tensor.parts.role == TensorRole::Embedding)
                continue;
            int bits = config["bits"];
            for (const auto& [key, value] : config["dynamic"].items())
                if (reMatches(key.substr(2), moduleName(tensor))) {
                    bits = key.starts_with("-:") ? 16 : value.value("bits", bits);
                    break;
                }
            const bool kept = tensor.name == "model.layers.2.mlp.up_proj.weight";
            const bool wide = tensor.name == "model.layers.1.mlp.down_proj.weight";
            QCOMPARE(bits, kept ? 16 : wide ? 8 : 4);
        }
        // A file of another's making: the rule that stands first wins over a better one.
        const auto read = importRecipe(*findExportTarget("gptqmodel"), R"({"bits": 4, "group_size": -1, "sym": true,
            "dynamic": {"+:.*mlp.*": {"bits": 8}, "-:.*down_proj$": {}, "-:nowhere": {}}})",
            catalog, "test");
        QVERIFY(read);
        const auto schemes = schemesOf(read->recipe, catalog);
        QCOMPARE(
            schemes[*catalog.find("model.layers.0.mlp.down_proj.weight")], std::optional<std::string>("int8:symf"));
        QCOMPARE(schemes[*catalog.find("model.layers.0.self_attn.q_proj.weight")],
            std::optional<std::string>("int4:channel:symf"));
        QCOMPARE(read->warnings.size(), std::size_t(2));
    }

    void compressedTensorsHasItsOwnOrder()
    {
        const auto catalog = model();
        const auto text = R"({"quantization_config": {"config_groups": {
            "group_0": {"targets": ["Linear"], "weights": {"num_bits": 8, "type": "int", "symmetric": true, "strategy": "channel"}},
            "group_1": {"targets": ["re:.*layers\\.1.*"], "weights": {"num_bits": 4, "type": "int", "symmetric": false, "strategy": "group", "group_size": 32}},
            "group_2": {"targets": ["model.layers.1.mlp.up_proj"], "weights": {"num_bits": 3, "type": "int", "symmetric": true, "strategy": "channel"}}},
            "ignore": ["re:.*v_proj"]}})";
        const auto read = importRecipe(*findExportTarget("compressed-tensors"), text, catalog, "test");
        QVERIFY(read);
        const auto schemes = schemesOf(read->recipe, catalog);
        const auto at = [&](const char* name) { return schemes[*catalog.find(name)].value_or("kept"); };
        QCOMPARE(at("model.layers.0.mlp.up_proj.weight"), std::string("int8:symf"));
        QCOMPARE(at("model.layers.1.mlp.down_proj.weight"), std::string("int4:g32:asym"));
        QCOMPARE(at("model.layers.1.mlp.up_proj.weight"), std::string("int3:channel:symf"));
        QCOMPARE(at("model.layers.1.self_attn.v_proj.weight"), std::string("kept"));
        QCOMPARE(at("model.embed_tokens.weight"), std::string("kept"));
    }

    void llamaCppTakesTheFirstRuleThatIsFound()
    {
        const auto catalog = model();
        const auto read =
            importRecipe(*findExportTarget("llama.cpp"), "attn_V=q8_0\nattn=Q4_K\nnowhere=q4_0\n", catalog, "test");
        QVERIFY(read);
        const auto schemes = schemesOf(read->recipe, catalog);
        QCOMPARE(schemes[*catalog.find("model.layers.0.self_attn.v_proj.weight")], std::optional<std::string>("q8_0"));
        QCOMPARE(schemes[*catalog.find("model.layers.0.self_attn.q_proj.weight")], std::optional<std::string>("q4_k"));
        QCOMPARE(schemes[*catalog.find("model.layers.0.mlp.up_proj.weight")], std::nullopt);
        QVERIFY(!read->warnings.empty());
        for (const auto* broken : {"=q4_0", "attn=", "attn", "(=q4_0"})
            QVERIFY(!importRecipe(*findExportTarget("llama.cpp"), broken, catalog, "test"));
    }

    void ikRulesAreOneArgument()
    {
        const auto catalog = model();
        const auto result = exported("ik_llama", mixed("q4_0", "q8_0"), catalog);
        QVERIFY(result);
        std::istringstream stream(result->files.front().content);
        std::vector<std::pair<std::regex, std::string>> rules;
        for (std::string rule; std::getline(stream, rule, ',');)
            rules.emplace_back(std::regex(rule.substr(0, rule.find('='))),
                rule.substr(rule.find('=') + 1, rule.find_last_not_of('\n') - rule.find('=')));
        for (const auto& tensor : catalog.tensors) {
            if (!tensor.quantizable || tensor.parts.role == TensorRole::Embedding)
                continue;
            const auto name = *ggufName(tensor.name, "llama");
            const auto found =
                std::ranges::count_if(rules, [&](const auto& rule) { return std::regex_search(name, rule.first); });
            QCOMPARE(found, 1);
            const auto rule =
                std::ranges::find_if(rules, [&](const auto& one) { return std::regex_search(name, one.first); });
            QCOMPARE(rule->second,
                tensor.name == "model.layers.1.mlp.down_proj.weight"     ? std::string("q8_0")
                    : tensor.name == "model.layers.2.mlp.up_proj.weight" ? std::string("bf16")
                                                                         : std::string("q4_0"));
        }
        QVERIFY(result->command.find("--custom-q \"$(cat ") != std::string::npos);
    }

    void torchaoNamesWholeModules()
    {
        const auto catalog = model();
        const auto config = ordered_json::parse(
            exported("torchao", mixed("int4:g32:asym", "int8:channel:symf"), catalog)->files.front().content);
        const auto& names = config["quantization_config"]["quant_type"]["default"]["_data"]["fqn_to_config"];
        for (const auto& tensor : catalog.tensors) {
            if (!tensor.quantizable || tensor.parts.role == TensorRole::Embedding)
                continue;
            std::vector<ordered_json> found;
            for (const auto& [key, value] : names.items())
                if (key.starts_with("re:") ? std::regex_match(moduleName(tensor), std::regex(key.substr(3)))
                                           : key == moduleName(tensor))
                    found.push_back(value);
            QCOMPARE(found.size(), std::size_t(1));
            if (tensor.name == "model.layers.2.mlp.up_proj.weight") {
                QVERIFY(found[0].is_null());
                continue;
            }
            const bool wide = tensor.name == "model.layers.1.mlp.down_proj.weight";
            const auto& data = found[0]["_data"];
            QCOMPARE(data["weight_dtype"]["_data"].get<std::string>(), std::string(wide ? "int8" : "int4"));
            QCOMPARE(data["granularity"]["_type"].get<std::string>(), std::string(wide ? "PerAxis" : "PerGroup"));
            QCOMPARE(data["mapping_type"]["_data"].get<std::string>(), std::string(wide ? "SYMMETRIC" : "ASYMMETRIC"));
        }
    }

    void neuralCompressorTakesTheLastRule()
    {
        const auto catalog = model();
        const auto config =
            ordered_json::parse(exported("neural-compressor", mixed("int4:g32:asym+gptq", "int8:channel+gptq"), catalog)
                                    ->files.front()
                                    .content);
        QCOMPARE(config.size(), std::size_t(1));
        const auto& gptq = config["gptq"];
        QCOMPARE(gptq["global"]["dtype"].get<std::string>(), std::string("fp32"));
        for (const auto& tensor : catalog.tensors) {
            if (!tensor.quantizable || tensor.parts.role == TensorRole::Embedding)
                continue;
            auto own = gptq["global"];
            for (const auto& [key, value] : gptq["local"].items())
                if (reMatches(key, moduleName(tensor)))
                    own = value;
            const bool kept = tensor.name == "model.layers.2.mlp.up_proj.weight";
            const bool wide = tensor.name == "model.layers.1.mlp.down_proj.weight";
            QCOMPARE(own["dtype"].get<std::string>(), std::string(kept ? "fp32" : "int"));
            if (!kept)
                QCOMPARE(own["bits"].get<int>(), wide ? 8 : 4);
        }
        QVERIFY(!exported("neural-compressor", mixed("int4:g32+gptq", "int8:g32"), catalog));
    }

    void modelOptTables()
    {
        const auto catalog = model();
        const auto mixedTable = ordered_json::parse(
            exported("modelopt", mixed("nvfp4", "fp8_e4m3:tensor/fp8_e4m3:tensor"), catalog)->files.front().content);
        const auto& layers = mixedTable["quantization"]["quantized_layers"];
        QCOMPARE(mixedTable["quantization"]["quant_algo"].get<std::string>(), std::string("MIXED_PRECISION"));
        QCOMPARE(layers["model.layers.1.mlp.down_proj"]["quant_algo"].get<std::string>(), std::string("FP8"));
        QCOMPARE(layers["model.layers.0.mlp.down_proj"]["quant_algo"].get<std::string>(), std::string("NVFP4"));
        QVERIFY(!layers.contains("model.layers.2.mlp.up_proj"));
        const auto uniform =
            ordered_json::parse(exported("modelopt", mixed("nvfp4", "nvfp4"), catalog)->files.front().content);
        QCOMPARE(uniform["quantization"]["quant_algo"].get<std::string>(), std::string("NVFP4"));
        QVERIFY(uniform["quantization"]["exclude_modules"] == ordered_json::array({"model.layers.2.mlp.up_proj"}));
    }

    void llmCompressorSeparatesModifiers()
    {
        const auto catalog = model();
        const auto result = exported("llm-compressor", mixed("int4:g32:symf+gptq", "int8:channel:symf"), catalog);
        QVERIFY(result);
        const auto text = QString::fromStdString(result->files.front().content);
        const auto gptq = text.indexOf("    GPTQModifier:\n"), rest = text.indexOf("    QuantizationModifier:\n");
        QVERIFY(gptq > 0 && rest > gptq);
        QVERIFY(text.mid(rest).contains(R"(targets: ["model.layers.1.mlp.down_proj"])"));
        QVERIFY(!text.mid(gptq, rest - gptq).contains("\"num_bits\":8"));
        QVERIFY(!text.contains("format"));
    }

    void onnxRuntimeNamesNodes()
    {
        const auto catalog = model();
        const auto plan = ordered_json::parse(
            exported("onnxruntime", mixed("int4:g32:asym", "int8:g64:sym"), catalog)->files.front().content);
        const auto& nodes = plan["customized_weight_config"];
        QCOMPARE(nodes["/model/layers.1/mlp/down_proj/MatMul"]["bits"].get<int>(), 8);
        QCOMPARE(nodes["/model/layers.0/self_attn/q_proj/MatMul"]["scheme"].get<std::string>(), std::string("asym"));
        QVERIFY(plan["nodes_to_exclude"] == ordered_json::array({"/model/layers.2/mlp/up_proj/MatMul"}));
    }

    void nncfPassesShareNoNode()
    {
        const auto catalog = model();
        const auto script = exported("nncf", mixed("int4:g32:asym", "int8:channel:symf"), catalog);
        QVERIFY(script);
        const auto text = QString::fromStdString(script->files.front().content);
        std::vector<std::regex> passes;
        static const QRegularExpression line("CompressWeightsMode\\.(\\w+), (\\w+), r\"(.*)\"\\),");
        for (auto matches = line.globalMatch(text); matches.hasNext();)
            passes.emplace_back(matches.next().captured(3).toStdString());
        QCOMPARE(passes.size(), std::size_t(2));
        for (const auto& tensor : catalog.tensors) {
            const auto node = "__module." + moduleName(tensor) + "/aten::linear/MatMul";
            const auto hits = std::ranges::count_if(passes, [&](const std::regex& pass) {
                return std::regex_search(node, pass, std::regex_constants::match_continuous);
            });
            const bool own = tensor.quantizable && tensor.parts.role != TensorRole::Embedding
                && tensor.name != "model.layers.2.mlp.up_proj.weight";
            QCOMPARE(hits, own ? 1 : 0);
        }
    }

    void ggufNamesAreTranslated()
    {
        auto catalog = model();
        catalog.naming = NamingWorld::Gguf;
        for (auto& tensor : catalog.tensors)
            tensor.name = *ggufName(tensor.name, "llama");
        Recipe recipe;
        recipe.defaultPlan = *LayerPlan::parse("int4:g32:symf");
        recipe.keep = {"token_embd.weight"};
        const auto result = exported("torchao", recipe, catalog);
        QVERIFY2(result, result ? "" : qPrintable(QString::fromStdString(describe(result.error()))));
        QVERIFY(result->files.front().content.find("self_attn") != std::string::npos);
        QVERIFY(result->files.front().content.find("blk") == std::string::npos);
        for (const auto& tensor : model().tensors)
            QCOMPARE(huggingFaceName(*ggufName(tensor.name, "llama"), "llama"), std::optional(tensor.name));
    }

    void refusesWhatTheToolDoesNotKnow_data()
    {
        QTest::addColumn<QString>("target");
        QTest::addColumn<QString>("scheme");
        const auto row = [](const char* target, const char* scheme) {
            QTest::addRow("%s %s", target, scheme) << target << scheme;
        };
        row("gptqmodel", "nf4");
        row("gptqmodel", "int4:g32:asymf");
        row("mlx", "int4:channel");
        row("mlx", "int7:g64:asymf");
        row("torchao", "nf4");
        row("modelopt", "int4:g32");
        row("neural-compressor", "mxfp4");
        row("nncf", "int3:g32");
        row("onnxruntime", "int4:channel");
        row("llm-compressor", "nf4");
        row("ik_llama", "lut3");
    }
    void refusesWhatTheToolDoesNotKnow()
    {
        QFETCH(QString, target);
        QFETCH(QString, scheme);
        const auto result = exported(target.toStdString(), mixed(scheme.toStdString(), scheme.toStdString()), model());
        QVERIFY(!result);
        QCOMPARE(result.error().code, ErrorCode::Unsupported);
        QVERIFY(result.error().where.starts_with("model.layers."));
    }

    void hostileFilesAreRefused_data()
    {
        QTest::addColumn<QString>("text");
        QTest::newRow("nothing") << "";
        QTest::newRow("an array") << "[]";
        QTest::newRow("numbers for texts")
            << R"({"bits": "four", "quantization": {"bits": []}, "config_groups": {"a": 1}})";
        QTest::newRow("no expression") << "{\"bits\": 4, \"dynamic\": {\"+:[\": {}}, \"config_groups\": {\"a\": "
                                          "{\"targets\": [\"re:[\"], \"weights\": {}}}}";
        QTest::newRow("odd bits")
            << R"({"bits": 99, "quantization": {"bits": 99}, "config_groups": {"a": {"targets": ["Linear"], "weights": {"num_bits": 99}}}})";
    }
    void hostileFilesAreRefused()
    {
        QFETCH(QString, text);
        for (const auto* target : {"gptqmodel", "mlx", "compressed-tensors", "quantloupe"})
            QVERIFY(!importRecipe(*findExportTarget(target), text.toStdString(), model(), "test"));
    }
};

QTEST_GUILESS_MAIN(TestRecipeTargets)
#include "tst_recipe_targets.moc"
