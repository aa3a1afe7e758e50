// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/recipes/recipe.h"
#include "core/recipes/strict_json.h"
#include "tests/support/model_catalogs.h"

#include <QTest>

using namespace quantloupe;

namespace {

constexpr auto kContractExample =
    "{\n"
    "  \"quantloupe_recipe\": 1,\n"
    "  \"model\": {\"architecture\": \"llama\", \"fingerprint\": \"ab\", \"parameters\": 260032},\n"
    "  \"default\": \"int4:g128\",\n"
    "  \"keep\": [\"*norm*\", \"lm_head.weight\"],\n"
    "  \"rules\": [{\"match\": \"model.layers.*.mlp.down_proj.weight\", \"scheme\": \"int8:channel/int8:token\"}],\n"
    "  \"activations\": null,\n"
    "  \"kv_cache\": \"int8:token\",\n"
    "  \"notes\": \"why\"\n"
    "}";

constexpr auto kAllFields = "{\n"
                            "  \"quantloupe_recipe\": 1,\n"
                            "  \"model\": {\n"
                            "    \"architecture\": \"\",\n"
                            "    \"fingerprint\": \"\",\n"
                            "    \"parameters\": 0\n"
                            "  },\n"
                            "  \"default\": \"int8\",\n"
                            "  \"keep\": [\n"
                            "    \"*norm*\"\n"
                            "  ],\n"
                            "  \"rules\": [],\n"
                            "  \"activations\": null,\n"
                            "  \"kv_cache\": null,\n"
                            "  \"notes\": \"\"\n"
                            "}\n";

QString text(const Error& error)
{
    return QString::fromStdString(describe(error));
}

}  // namespace

class TestRecipeJson : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void readsTheContractsExample()
    {
        const auto recipe = Recipe::fromJson(kContractExample, "r.json");
        QVERIFY2(recipe, qPrintable(recipe ? QString() : text(recipe.error())));
        QCOMPARE(recipe->architecture, std::string("llama"));
        QCOMPARE(recipe->fingerprint, std::string("ab"));
        QCOMPARE(recipe->parameters, std::uint64_t(260032));
        QCOMPARE(recipe->defaultPlan.weights, tests::scheme("int4"));
        QCOMPARE(recipe->keep, (std::vector<std::string> {"*norm*", "lm_head.weight"}));
        QCOMPARE(recipe->rules.size(), std::size_t(1));
        QCOMPARE(recipe->rules[0].match, std::string("model.layers.*.mlp.down_proj.weight"));
        QCOMPARE(recipe->rules[0].plan.weights, tests::scheme("int8"));
        QVERIFY(recipe->rules[0].plan.activations == tests::scheme("int8:token"));
        QVERIFY(!recipe->activations);
        QVERIFY(recipe->keyValueCache == tests::scheme("int8:token"));
        QCOMPARE(recipe->notes, std::string("why"));
    }

    void roundTrips()
    {
        auto recipe = Recipe::uniform(tests::scheme("int4:g32:asym:mse"), tests::llama());
        recipe.rules.push_back({"model.layers.0.*", LayerPlan::parse("int8/int8:token").value()});
        recipe.rules.push_back({"a \"quoted\" näme", {tests::scheme("nf4"), {}}});
        recipe.activations = tests::scheme("int8:token");
        recipe.keyValueCache = tests::scheme("fp8_e4m3:tensor");
        recipe.notes = "line\nbreak";
        const auto json = recipe.toJson();
        const auto again = Recipe::fromJson(json, "r");
        QVERIFY2(again, qPrintable(again ? QString() : text(again.error())));
        QVERIFY(*again == recipe);
        QCOMPARE(again->toJson(), json);
    }

    void writesTheFieldsInOrder()
    {
        Recipe recipe;
        recipe.defaultPlan.weights = tests::scheme("int8");
        recipe.keep = {"*norm*"};
        QCOMPARE(recipe.toJson(), std::string(kAllFields));
    }

    void survivesNamesThatAreNotUtf8()
    {
        Recipe recipe;
        recipe.defaultPlan.weights = tests::scheme("int8");
        recipe.keep = {"a\xff"};
        QVERIFY(Recipe::fromJson(recipe.toJson(), "r"));
    }

    void refuses_data()
    {
        QTest::addColumn<QByteArray>("json");
        QTest::addColumn<int>("code");
        QTest::addColumn<QString>("names");
        const auto row = [](const char* name, const char* json, ErrorCode code, const char* names) {
            QTest::newRow(name) << QByteArray(json).replace('\'', '"') << int(code) << QString(names);
        };
        const auto bad = ErrorCode::InvalidArgument;
        row("empty", "", ErrorCode::Malformed, "r.json, byte 0");
        row("cut", "{'quantloupe_recipe': 1, 'default", ErrorCode::Malformed, "byte");
        row("place of the mistake", "{'default': oops}", ErrorCode::Malformed, "byte 12");
        row("trailing text", "{'quantloupe_recipe':1,'default':'int8'} x", ErrorCode::Malformed, "x");
        row("list", "[]", bad, "expected an object");
        row("other file", "{'default':'int8'}", bad, "quantloupe_recipe: missing");
        row("newer", "{'quantloupe_recipe':2,'default':'int8','shiny':1}", ErrorCode::Unsupported, "version 2");
        row("version zero", "{'quantloupe_recipe':0,'default':'int8'}", bad, "quantloupe_recipe");
        row("version text", "{'quantloupe_recipe':'1','default':'int8'}", bad, "quantloupe_recipe");
        row("no default", "{'quantloupe_recipe':1}", bad, "default: missing");
        row("unknown key", "{'quantloupe_recipe':1,'default':'int8','rule':[]}", bad, "unknown key \"rule\"");
        row("unknown key of a rule",
            "{'quantloupe_recipe':1,'default':'int8','rules':[{'match':'a','scheme':'int8'},{'match':'a','scheme':'"
            "int8','why':''}]}",
            bad, "rules[1].why");
        row("unknown key of the model", "{'quantloupe_recipe':1,'default':'int8','model':{'name':'x'}}", bad,
            "model.name");
        row("repeated key", "{'quantloupe_recipe':1,'default':'int8','default':'int4'}", ErrorCode::Malformed,
            "default' occurs twice");
        row("repeated key inside",
            "{'quantloupe_recipe':1,'default':'int8','rules':[{'match':'a','match':'b','scheme':'int8'}]}",
            ErrorCode::Malformed, "match' occurs twice");
        row("wrong type", "{'quantloupe_recipe':1,'default':8}", bad, "default: expected text, found a number");
        row("keep is text", "{'quantloupe_recipe':1,'default':'int8','keep':'*norm*'}", bad, "keep: expected a list");
        row("keep holds a number", "{'quantloupe_recipe':1,'default':'int8','keep':['a',1]}", bad, "keep[1]");
        row("empty pattern", "{'quantloupe_recipe':1,'default':'int8','keep':['']}", bad, "keep[0]");
        row("rule is text", "{'quantloupe_recipe':1,'default':'int8','rules':['a']}", bad,
            "rules[0]: expected an object");
        row("rule without scheme", "{'quantloupe_recipe':1,'default':'int8','rules':[{'match':'a'}]}", bad,
            "rules[0].scheme: missing");
        row("rule matches nothing", "{'quantloupe_recipe':1,'default':'int8','rules':[{'match':'','scheme':'int8'}]}",
            bad, "rules[0].match");
        row("no scheme", "{'quantloupe_recipe':1,'default':'int99'}", bad, "default: ");
        row("no scheme in a rule",
            "{'quantloupe_recipe':1,'default':'int8','rules':[{'match':'a','scheme':'int4:g0'}]}", bad,
            "rules[0].scheme: ");
        row("negative count", "{'quantloupe_recipe':1,'default':'int8','model':{'parameters':-1}}", bad,
            "model.parameters");
        row("fraction", "{'quantloupe_recipe':1,'default':'int8','model':{'parameters':1.5}}", bad, "model.parameters");
        row("bad cache", "{'quantloupe_recipe':1,'default':'int8','kv_cache':'big'}", bad, "kv_cache: ");
        row("not UTF-8", "{\"quantloupe_recipe\":1,\"default\":\"\xff\"}", ErrorCode::Malformed, "byte");
    }

    void refuses()
    {
        QFETCH(QByteArray, json);
        QFETCH(int, code);
        QFETCH(QString, names);
        const auto recipe = Recipe::fromJson({json.constData(), std::size_t(json.size())}, "r.json");
        QVERIFY(!recipe);
        QCOMPARE(int(recipe.error().code), code);
        QVERIFY2(text(recipe.error()).contains(names), qPrintable(text(recipe.error())));
        QVERIFY(text(recipe.error()).startsWith("r.json"));
    }

    void refusesDeepNesting()
    {
        const std::string deep(100'000, '[');
        const auto document = parseStrictJson(deep, "deep");
        QVERIFY(!document);
        QCOMPARE(document.error().code, ErrorCode::Malformed);
    }

    void everyPrefixOfARecipeFailsCleanly()
    {
        const auto json = Recipe::uniform(tests::scheme("int4"), tests::mixtral()).toJson();
        for (std::size_t length = 0; length + 1 < json.size(); ++length)
            QVERIFY(!Recipe::fromJson(std::string_view(json).substr(0, length), "r"));
    }
};

QTEST_APPLESS_MAIN(TestRecipeJson)
#include "tst_recipe_json.moc"
