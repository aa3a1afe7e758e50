// SPDX-License-Identifier: GPL-3.0-or-later
// Whatever an importable target accepts comes back tensor by tensor, or with a warning: nothing is lost in silence.
#include "core/export_targets/export_target.h"
#include "tests/support/every_scheme.h"
#include "tests/support/model_catalogs.h"

#include <QTest>

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

ModelCatalog model()
{
    return llama({.blocks = 3, .hidden = 256, .intermediate = 512, .heads = 8, .keyValueHeads = 8, .vocabulary = 512});
}

/// Plans to try: weights alone, and with dynamic and static inputs.
std::vector<LayerPlan> everyPlan()
{
    std::vector<LayerPlan> plans;
    auto schemes = everyScheme();
    for (const char* scheme :
        {"int4:g32:symf", "int4:g64:asymf", "int4:g128:symf", "int8:channel:symf", "int8:g32:asym", "int8:channel:asym",
            "int2:g64:symf", "int3:g128:asym", "int6:g64:asymf", "fp8_e4m3:channel", "int8:g128:symf"})
        schemes.emplace_back(scheme);
    for (const auto& scheme : schemes)
        for (const char* inputs : {"", "/int8:token:symf", "/fp8_e4m3:token", "/int8:tensor:symf"})
            if (const auto plan = LayerPlan::parse(scheme + inputs))
                plans.push_back(*plan);
    return plans;
}

std::vector<std::optional<LayerPlan>> plansOf(const Recipe& recipe, const ModelCatalog& catalog)
{
    std::vector<std::optional<LayerPlan>> plans;
    for (const auto& planned : resolve(recipe, catalog).tensors)
        // What is stored in this type is as it is stored.
        plans.push_back(planned.scheme && planned.scheme->format != Format::Bf16
                ? std::optional(LayerPlan {*planned.scheme, planned.activations})
                : std::nullopt);
    return plans;
}

std::string nameOf(const std::optional<LayerPlan>& plan)
{
    return plan ? plan->toString() : "as stored";
}

/// ggml's types in blocks of 32 are these integers under another name: llama.cpp's files know no other.
bool isCounterpart(const std::optional<LayerPlan>& wanted, const std::optional<LayerPlan>& found)
{
    if (!wanted || !found || !isInteger(wanted->weights.format))
        return false;
    const std::pair<const char*, const char*> pairs[] {{"int4:g32:symf", "q4_0"}, {"int4:g32:asymf", "q4_1"},
        {"int5:g32:symf", "q5_0"}, {"int5:g32:asymf", "q5_1"}, {"int8:g32", "q8_0"}};
    return std::any_of(std::begin(pairs), std::end(pairs),
        [&](const auto& pair) { return wanted->toString() == pair.first && found->toString() == pair.second; });
}

/// One plan for all, one exception by name, one kept role.
Recipe recipeOf(const LayerPlan& plan, const LayerPlan& other)
{
    Recipe recipe;
    recipe.defaultPlan = plan;
    recipe.keep = {"*norm*", "*embed_tokens*", "lm_head*", "*layers.2.mlp.up_proj*"};
    recipe.rules = {{"model.layers.1.mlp.down_proj.weight", other}};
    return recipe;
}

}  // namespace

class TestReimport : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void whatIsAcceptedComesBack_data()
    {
        QTest::addColumn<QString>("target");
        for (const auto* target : exportTargets())
            if (target->read != nullptr)
                QTest::newRow(std::string(target->name).c_str())
                    << QString::fromUtf8(target->name.data(), qsizetype(target->name.size()));
    }

    void whatIsAcceptedComesBack()
    {
        QFETCH(const QString, target);
        const auto* row = findExportTarget(target.toStdString());
        const auto catalog = model();
        const auto plans = everyPlan();
        std::size_t exact = 0, refused = 0, warned = 0;
        std::set<std::string> accepted;
        for (std::size_t i = 0; i < plans.size(); ++i) {
            const auto recipe = recipeOf(plans[i], plans[(i + 7) % plans.size()]);
            for (const auto& tried : {recipe, recipeOf(plans[i], plans[i])}) {
                const auto result = row->write(tried, resolve(tried, catalog), catalog);
                if (!result) {
                    ++refused;
                    QVERIFY(!result.error().reason.empty());
                    continue;
                }
                auto text = result->files.front().content;
                if (!result->command.empty())
                    text += "\n" + result->command;
                const auto read = importRecipe(*row, text, catalog, "test");
                QVERIFY2(read, read ? "" : (plans[i].toString() + ": " + describe(read.error())).c_str());
                const auto wanted = plansOf(tried, catalog), found = plansOf(read->recipe, catalog);
                if (found != wanted && !result->warnings.empty()) {
                    ++warned;
                    continue;
                }
                for (std::size_t tensor = 0; tensor < wanted.size(); ++tensor)
                    QVERIFY2(found[tensor] == wanted[tensor] || isCounterpart(wanted[tensor], found[tensor]),
                        (catalog.tensors[tensor].name + ": " + nameOf(wanted[tensor]) + " came back as "
                            + nameOf(found[tensor]))
                            .c_str());
                accepted.insert(plans[i].toString());
                ++exact;
            }
        }
        qInfo("%zu recipes the same, %zu changed with a warning, %zu refused; %zu schemes", exact, warned, refused,
            accepted.size());
        QVERIFY(accepted.size() >= 4);
    }
};

QTEST_APPLESS_MAIN(TestReimport)
#include "tst_reimport.moc"
