// SPDX-License-Identifier: GPL-3.0-or-later
// The exported configuration is checked against the format's fields (no others), and applied the way the package
// applies it: ignore before targets, exact names before regular expressions (matched from the start) before classes.
#include "core/export_targets/export_target.h"
#include "tests/support/model_catalogs.h"

#include <QTest>

#include <nlohmann/json.hpp>

#include <regex>
#include <set>

using namespace quantloupe;
using nlohmann::json;

namespace {

Result<ExportResult> exported(const Recipe& recipe, const ModelCatalog& model)
{
    return findExportTarget("compressed-tensors")->write(recipe, resolve(recipe, model), model);
}

json configOf(const Result<ExportResult>& result)
{
    return json::parse(result->files.at(0).content).at("quantization_config");
}

bool onlyKeys(const json& object, const std::set<std::string>& allowed)
{
    for (const auto& [key, value] : object.items())
        if (!allowed.contains(key))
            return false;
    return object.is_object();
}

/// One QuantizationArgs, with the rules between its fields.
bool validArguments(const json& value)
{
    if (value.is_null())
        return true;
    if (!onlyKeys(value,
            {"num_bits", "type", "symmetric", "group_size", "strategy", "block_structure", "dynamic", "actorder",
                "observer", "observer_kwargs"}))
        return false;
    const auto bits = value.at("num_bits").get<int>();
    const auto strategy = value.at("strategy").get<std::string>();
    const auto& group = value.at("group_size");
    const bool grouped = strategy == "group" || strategy == "tensor_group";
    if (value.at("type") != "int" && value.at("type") != "float")
        return false;
    if (value.at("type") == "float" ? bits != 4 && bits != 8 : bits < 2 || bits > 8)
        return false;
    if (grouped != (group.is_number_unsigned() && group.get<int>() > 0))
        return false;
    if (strategy == "token" && value.at("dynamic") != true)
        return false;
    return value.at("symmetric").is_boolean() && value.at("dynamic").is_boolean()
        && std::set<std::string> {"tensor", "channel", "group", "block", "token", "tensor_group"}.contains(strategy)
        && (strategy == "block") == value.contains("block_structure");
}

bool matches(const std::string& target, const std::string& module)
{
    if (!target.starts_with("re:"))
        return target == module;
    // Python's re.match: anchored at the start only.
    return std::regex_search(module, std::regex(target.substr(3)), std::regex_constants::match_continuous);
}

bool isIgnored(const json& config, const std::string& module)
{
    for (const auto& target : config.at("ignore"))
        if (matches(target, module))
            return true;
    return false;
}

/// Groups whose targets name the module.
std::vector<std::string> groupsFor(const json& config, const std::string& module)
{
    std::vector<std::string> groups;
    for (const auto& [name, group] : config.at("config_groups").items())
        for (const auto& target : group.at("targets"))
            if (matches(target, module))
                groups.push_back(name);
    return groups;
}

}  // namespace

class TestCompressedTensors : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void everyModuleIsDecidedOnce_data()
    {
        QTest::addColumn<QString>("family");
        QTest::addColumn<bool>("mixed");
        for (const char* family : {"llama", "qwen", "mixtral"})
            for (const bool mixed : {false, true})
                QTest::addRow("%s%s", family, mixed ? ", mixed" : "") << family << mixed;
    }

    void everyModuleIsDecidedOnce()
    {
        QFETCH(QString, family);
        QFETCH(bool, mixed);
        const tests::LlamaShape shape {.blocks = 11, .hidden = 256, .intermediate = 768, .tied = family == "qwen"};
        const auto model = family == "mixtral" ? tests::mixtral(3, shape) : tests::llama(shape, family == "qwen");
        auto recipe = Recipe::uniform(tests::scheme("int4"), model);
        if (mixed) {
            for (std::size_t i = 0; i < model.tensors.size(); i += 4)
                recipe.rules.push_back(
                    {model.tensors[i].name, LayerPlan::parse(i % 8 ? "int8/int8:token" : "fp8_e4m3").value()});
            recipe.keep.push_back("model.layers.7.*");
        }
        const auto plan = resolve(recipe, model);
        const auto result = exported(recipe, model);
        QVERIFY2(result, qPrintable(result ? QString() : QString::fromStdString(describe(result.error()))));
        const auto config = configOf(result);

        QVERIFY(onlyKeys(config,
            {"quant_method", "format", "quantization_status", "config_groups", "ignore", "kv_cache_scheme",
                "global_compression_ratio", "version", "sparsity_config", "transform_config"}));
        QCOMPARE(config.at("quant_method").get<std::string>(), std::string("compressed-tensors"));
        QCOMPARE(config.at("quantization_status").get<std::string>(), std::string("compressed"));
        QCOMPARE(config.at("format").get<std::string>(), std::string(mixed ? "mixed-precision" : "pack-quantized"));
        for (const auto& [name, group] : config.at("config_groups").items()) {
            QVERIFY(onlyKeys(group, {"targets", "weights", "input_activations", "output_activations", "format"}));
            QVERIFY(validArguments(group.at("weights")) && validArguments(group.at("input_activations")));
            QVERIFY(group.at("output_activations").is_null());
            QVERIFY((std::set<std::string> {"pack-quantized", "int-quantized", "float-quantized"})
                        .contains(group.at("format")));
            for (const std::string target : group.at("targets"))
                QVERIFY(!target.starts_with("re:") || (target.starts_with("re:^") && target.ends_with('$')));
        }
        for (const auto& planned : plan.tensors) {
            const auto& tensor = model.tensors[planned.tensor];
            if (!tensor.name.ends_with(".weight"))
                continue;
            const auto module = tensor.name.substr(0, tensor.name.size() - 7);
            const auto groups = groupsFor(config, module);
            QVERIFY2(groups.size() == (planned.scheme ? 1u : 0u), module.c_str());
            const bool linear = tensor.shape.size() == 2 && tensor.parts.role != TensorRole::Embedding;
            QVERIFY2(isIgnored(config, module) == (linear && !planned.scheme), module.c_str());
            if (!planned.scheme)
                continue;
            const auto& group = config.at("config_groups").at(groups[0]);
            const auto text = planned.scheme->toString();
            QCOMPARE(group.at("weights").at("num_bits").get<int>(), text == "int4" ? 4 : 8);
            QCOMPARE(
                group.at("weights").at("type").get<std::string>(), std::string(text == "fp8_e4m3" ? "float" : "int"));
            QCOMPARE(group.at("input_activations").is_null(), text != "int8");
        }
        QVERIFY(isIgnored(config, "lm_head"));
        QCOMPARE(QString::fromStdString(result->warnings.empty() ? "" : result->warnings[0]).contains("vLLM"), mixed);
    }

    void arguments_data()
    {
        QTest::addColumn<QByteArray>("scheme");
        QTest::addColumn<QByteArray>("weights");
        QTest::addColumn<QByteArray>("inputs");
        QTest::addColumn<QByteArray>("format");
        const auto row = [](const char* scheme, const char* weights, const char* inputs, const char* format) {
            QTest::newRow(scheme) << QByteArray(scheme) << QByteArray(weights).replace('\'', '"')
                                  << QByteArray(inputs).replace('\'', '"') << QByteArray(format);
        };
        const auto* token =
            "{'num_bits':8,'type':'int','symmetric':true,'strategy':'token','group_size':null,'dynamic':true}";
        row("int8",
            "{'num_bits':8,'type':'int','symmetric':true,'strategy':'channel','group_size':null,'dynamic':false}",
            "null", "pack-quantized");
        row("int8/int8:token",
            "{'num_bits':8,'type':'int','symmetric':true,'strategy':'channel','group_size':null,'dynamic':false}",
            token, "int-quantized");
        row("int4:g128:symf",
            "{'num_bits':4,'type':'int','symmetric':true,'strategy':'group','group_size':128,'dynamic':false}", "null",
            "pack-quantized");
        row("int4:g32:asym/fp16",
            "{'num_bits':4,'type':'int','symmetric':false,'strategy':'group','group_size':32,'dynamic':false}", "null",
            "pack-quantized");
        row("int3:tensor",
            "{'num_bits':3,'type':'int','symmetric':true,'strategy':'tensor','group_size':null,'dynamic':false}",
            "null", "pack-quantized");
        row("fp8_e4m3:tensor/fp8_e4m3:tensor",
            "{'num_bits':8,'type':'float','symmetric':true,'strategy':'tensor','group_size':null,'dynamic':false}",
            "{'num_bits':8,'type':'float','symmetric':true,'strategy':'tensor','group_size':null,'dynamic':false}",
            "float-quantized");
        row("int8:b16x64",
            "{'num_bits':8,'type':'int','symmetric':true,'strategy':'block','block_structure':[16,64],'group_size':"
            "null,'dynamic':false}",
            "null", "pack-quantized");
        row("mxfp4",
            "{'num_bits':4,'type':'float','symmetric':true,'strategy':'group','group_size':32,'dynamic':false}", "null",
            "mxfp4-pack-quantized");
        row("nvfp4",
            "{'num_bits':4,'type':'float','symmetric':true,'strategy':'tensor_group','group_size':16,'dynamic':false}",
            "null", "nvfp4-pack-quantized");
    }

    void arguments()
    {
        QFETCH(QByteArray, scheme);
        QFETCH(QByteArray, weights);
        QFETCH(QByteArray, inputs);
        QFETCH(QByteArray, format);
        const auto model = tests::llama({.hidden = 256, .intermediate = 768});
        auto recipe = Recipe::uniform(tests::scheme("int8"), model);
        recipe.defaultPlan = LayerPlan::parse(scheme.constData()).value();
        const auto result = exported(recipe, model);
        QVERIFY2(result, qPrintable(result ? QString() : QString::fromStdString(describe(result.error()))));
        const auto config = configOf(result);
        QCOMPARE(config.at("config_groups").size(), std::size_t(1));
        const auto& group = config.at("config_groups").at("group_0");
        QVERIFY(validArguments(group.at("weights")) && validArguments(group.at("input_activations")));
        QCOMPARE(group.at("weights").dump(), json::parse(weights.constData()).dump());
        QCOMPARE(group.at("input_activations").dump(), json::parse(inputs.constData()).dump());
        QCOMPARE(group.at("format").get<std::string>(), format.toStdString());
        QCOMPARE(config.at("format").get<std::string>(), format.toStdString());
        QCOMPARE(result->command, std::string());
    }

    void targetsAreShort()
    {
        const auto model = tests::mixtral(3, {.hidden = 256, .intermediate = 768});
        const auto config = configOf(exported(Recipe::uniform(tests::scheme("int4"), model), model));
        QCOMPARE(config.at("config_groups").at("group_0").at("targets").size(), std::size_t(7));
        QCOMPARE(config.at("config_groups").at("group_0").at("targets").at(0).get<std::string>(),
            std::string("re:^model\\.layers\\.(0|1)\\.self_attn\\.q_proj$"));
        QCOMPARE(config.at("config_groups").at("group_0").at("targets").back().get<std::string>(),
            std::string("re:^model\\.layers\\.(0|1)\\.block_sparse_moe\\.experts\\.(0|1|2)\\.w2$"));
        QCOMPARE(config.at("ignore").dump(),
            std::string("[\"re:^model\\\\.layers\\\\.(0|1)\\\\.block_sparse_moe\\\\.gate$\",\"lm_head\"]"));
    }

    void refuses_data()
    {
        QTest::addColumn<QByteArray>("scheme");
        QTest::addColumn<QByteArray>("names");
        const auto row = [](const char* scheme, const char* names) {
            QTest::newRow(scheme) << QByteArray(scheme) << QByteArray(names);
        };
        row("nf4", "nf4");
        row("ternary", "ternary");
        row("fp8_e5m2", "fp8_e5m2");
        row("int16", "int16");
        row("q4_k", "q4_k");
        row("int4:g32:asymf", "asymf");
        row("int4:g100", "divide");
        row("int8/nf4:token", "activations");
        row("int8/int8:channel", "activations");
    }

    void refuses()
    {
        QFETCH(QByteArray, scheme);
        QFETCH(QByteArray, names);
        const auto model = tests::llama({.hidden = 256, .intermediate = 768});
        auto recipe = Recipe::uniform(tests::scheme("int8"), model);
        const auto plan = LayerPlan::parse(scheme.constData());
        if (!plan)
            QSKIP("the notation itself refuses it");
        recipe.rules = {{"*.1.mlp.up_proj.weight", *plan}};
        const auto result = exported(recipe, model);
        QCOMPARE(result.error().code, ErrorCode::Unsupported);
        QCOMPARE(result.error().where, std::string("model.layers.1.mlp.up_proj.weight"));
        QVERIFY2(QByteArray::fromStdString(result.error().reason).contains(names), result.error().reason.c_str());
    }

    void refusesOtherModels()
    {
        const auto gguf = tests::gguf();
        QCOMPARE(exported(Recipe::uniform(tests::scheme("int8"), gguf), gguf).error().code, ErrorCode::Unsupported);
        const auto gpt2 = tests::gpt2();
        const auto conv = exported(Recipe::uniform(tests::scheme("int8"), gpt2), gpt2);
        QCOMPARE(conv.error().where, std::string("h.0.attn.c_proj.weight"));
        const auto llama = tests::llama();
        auto nothing = Recipe::uniform(tests::scheme("int8"), llama);
        nothing.keep = {"*"};
        QCOMPARE(exported(nothing, llama).error().code, ErrorCode::Unsupported);
    }

    void saysWhatIsLost()
    {
        const auto model = tests::llama({.hidden = 256, .intermediate = 768});
        auto recipe = Recipe::uniform(tests::scheme("int4:mse"), model);
        recipe.keep = {"*norm*"};
        recipe.rules = {{"*.o_proj.weight", {tests::scheme("fp16"), {}}}};
        recipe.keyValueCache = tests::scheme("fp8_e4m3:token");
        const auto result = exported(recipe, model);
        QVERIFY(result);
        std::string text;
        for (const auto& warning : result->warnings)
            text += warning + "\n";
        for (const char* part : {"full range", "range estimators", "embeddings: model.embed_tokens.weight",
                 "ignored: model.layers.0.self_attn.o_proj.weight", "KV cache"})
            QVERIFY2(text.find(part) != std::string::npos, (text + "lacks " + part).c_str());
        const auto config = configOf(result);
        QVERIFY(isIgnored(config, "model.layers.1.self_attn.o_proj"));
        QVERIFY(validArguments(config.at("kv_cache_scheme")));
        QCOMPARE(config.at("kv_cache_scheme").at("strategy").get<std::string>(), std::string("tensor"));
        QVERIFY(exported(Recipe::uniform(tests::scheme("int4:symf"), model), model)->warnings.empty());
    }
};

QTEST_APPLESS_MAIN(TestCompressedTensors)
#include "tst_compressed_tensors.moc"
