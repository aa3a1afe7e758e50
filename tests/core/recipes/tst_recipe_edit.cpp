// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/recipes/edit.h"
#include "core/recipes/name_patterns.h"
#include "tests/support/model_catalogs.h"

#include <QTest>

#include <random>

using namespace quantloupe;

namespace {

using Plans = std::vector<std::optional<LayerPlan>>;

std::vector<std::string> namesOf(const ModelCatalog& model, TensorRole role)
{
    std::vector<std::string> names;
    for (const auto& tensor : model.tensors)
        if (tensor.parts.role == role)
            names.push_back(tensor.name);
    return names;
}

QStringList described(const Recipe& recipe)
{
    QStringList lines;
    for (const auto& rule : recipe.rules)
        lines << QString::fromStdString(describeRule(rule));
    return lines;
}

}  // namespace

class TestRecipeEdit : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void oneTensorTakesOneRule()
    {
        const auto model = tests::llama();
        const auto base = Recipe::uniform(tests::scheme("int4"), model);
        const std::vector<std::string> name {"model.layers.1.mlp.down_proj.weight"};
        const auto once = setScheme(base, model, name, tests::scheme("int8"));
        QCOMPARE(described(once), QStringList {"model.layers.1.mlp.down_proj.weight → int8"});
        QCOMPARE(once.keep, base.keep);
        // Another scheme replaces the rule; the default's own scheme removes it.
        const auto twice = setScheme(once, model, name, tests::scheme("int6"));
        QCOMPARE(described(twice), QStringList {"model.layers.1.mlp.down_proj.weight → int6"});
        QVERIFY(setScheme(twice, model, name, tests::scheme("int4")) == base);
    }

    void wholeRoleTakesAGlob()
    {
        const auto model = tests::llama({.blocks = 12});
        const auto base = Recipe::uniform(tests::scheme("int4"), model);
        const auto recipe = setScheme(base, model, namesOf(model, TensorRole::Down), tests::scheme("int8"));
        QCOMPARE(described(recipe), QStringList {"model.layers.*.mlp.down_proj.weight → int8"});
        // One by one comes to the same in the end.
        auto slowly = base;
        for (const auto& name : namesOf(model, TensorRole::Down))
            slowly = setScheme(slowly, model, std::vector {name}, tests::scheme("int8"));
        QVERIFY(slowly == recipe);
        // An exception stands behind the glob.
        const auto except = setScheme(
            recipe, model, std::vector<std::string> {"model.layers.3.mlp.down_proj.weight"}, tests::scheme("int4"));
        QCOMPARE(described(except),
            (QStringList {"model.layers.*.mlp.down_proj.weight → int8", "model.layers.3.mlp.down_proj.weight → int4"}));
    }

    void keepingAndReleasing()
    {
        const auto model = tests::llama({.tied = false});
        const auto base = Recipe::uniform(tests::scheme("int4"), model);
        const std::vector<std::string> query {"model.layers.0.self_attn.q_proj.weight"};
        const auto kept = setScheme(base, model, query, std::nullopt);
        QCOMPARE(kept.keep.back(), query.front());
        QVERIFY(kept.rules.empty());
        QVERIFY(setScheme(kept, model, query, tests::scheme("int4")) == base);

        const std::vector<std::string> head {"lm_head.weight"};
        const auto released = setScheme(base, model, head, tests::scheme("int8"));
        QCOMPARE(released.keep, (std::vector<std::string> {"*norm*", "model.embed_tokens.weight"}));
        QCOMPARE(described(released), QStringList {"lm_head.weight → int8"});
    }

    void ignoresWhatCannotBeQuantized()
    {
        const auto model = tests::llama();
        const auto base = Recipe::uniform(tests::scheme("int4"), model);
        const std::vector<std::string> names {"model.norm.weight", "no.such.tensor"};
        QVERIFY(setScheme(base, model, names, tests::scheme("int8")) == base);
    }

    void simplifyingDropsWhatChangesNothing()
    {
        const auto model = tests::llama();
        auto recipe = Recipe::uniform(tests::scheme("int4"), model);
        const LayerPlan eight {tests::scheme("int8"), {}}, four {tests::scheme("int4"), {}};
        recipe.rules = {
            {"model.layers.*.mlp.up_proj.weight", four},     // as the default
            {"model.layers.0.mlp.down_proj.weight", eight},  // overridden below
            {"other.model.*", eight},                        // matches nothing here: stays
            {"*.mlp.down_proj.weight", eight}, {"model.layers.1.mlp.down_proj.weight", eight},  // says it again
            {"model.norm.weight", eight},                                                       // cannot be quantized
        };
        QCOMPARE(ruleReaches(recipe, model), (std::vector<RuleReach> {{2, 2}, {1, 0}, {0, 0}, {2, 1}, {1, 1}, {0, 0}}));
        const auto simple = simplified(recipe, model);
        QCOMPARE(described(simple), (QStringList {"other.model.* → int8", "*.mlp.down_proj.weight → int8"}));
        QCOMPARE(resolve(simple, model), resolve(recipe, model));
    }

    void editsChangeWhatTheySayAndNothingElse_data()
    {
        QTest::addColumn<int>("seed");
        for (int seed = 0; seed < 40; ++seed)
            QTest::addRow("seed %d", seed) << seed;
    }

    void editsChangeWhatTheySayAndNothingElse()
    {
        QFETCH(int, seed);
        std::mt19937 random {unsigned(seed)};
        const auto model = seed % 4 == 0 ? tests::mixtral(3, {.blocks = 3})
            : seed % 4 == 1              ? tests::gguf({.blocks = 12, .tied = false})
            : seed % 4 == 2              ? tests::gpt2({.blocks = 11})
                                         : tests::llama({.blocks = 23, .tied = false});
        const std::vector<std::optional<Scheme>> choices {
            std::nullopt, tests::scheme("int8"), tests::scheme("int4"), tests::scheme("int3")};
        auto recipe = Recipe::uniform(tests::scheme("int4"), model);
        auto expected = decide(recipe, model);
        for (int edit = 0; edit < 12; ++edit) {
            const auto choice = choices[random() % choices.size()];
            const auto first = random() % model.tensors.size();
            const auto stride = 1 + random() % 9;
            std::vector<std::string> names;
            for (std::size_t i = first; i < model.tensors.size(); i += stride) {
                names.push_back(model.tensors[i].name);
                if (model.tensors[i].quantizable)
                    expected[i] = choice ? std::optional(LayerPlan {*choice, {}}) : std::nullopt;
            }
            recipe = setScheme(recipe, model, names, choice);
            QVERIFY(decide(recipe, model) == expected);
        }
    }

    void shortRecipesAreExact_data()
    {
        QTest::addColumn<int>("seed");
        for (int seed = 0; seed < 40; ++seed)
            QTest::addRow("seed %d", seed) << seed;
    }

    void shortRecipesAreExact()
    {
        QFETCH(int, seed);
        std::mt19937 random {unsigned(seed)};
        const auto model = seed % 2 ? tests::mixtral(3, {.blocks = 4}) : tests::llama({.blocks = 21, .tied = false});
        const std::vector<Scheme> choices {tests::scheme("int8"), tests::scheme("int4"), tests::scheme("int2")};
        Plans plans(model.tensors.size());
        for (std::size_t i = 0; i < plans.size(); ++i) {
            if (!model.tensors[i].quantizable)
                continue;
            // Mostly by role, partly by chance.
            const auto role = std::size_t(model.tensors[i].parts.role);
            const auto pick = random() % 10 == 0 ? random() : role + std::size_t(seed);
            if (pick % 4 < choices.size())
                plans[i] = LayerPlan {choices[pick % 4], {}};
        }
        auto base = Recipe::uniform(tests::scheme("int8"), model);
        base.notes = "mine";
        const auto recipe = recipeFor(model, plans, base);
        QVERIFY(decide(recipe, model) == plans);
        QCOMPARE(recipe.notes, base.notes);
        QVERIFY(recipe.rules.size() + recipe.keep.size() < model.tensors.size() / 2);
        QVERIFY(recipe == recipeFor(model, plans, base));
    }

    void shortRecipesUseRolesAndBlocks()
    {
        const auto model = tests::llama({.blocks = 30});
        Plans plans(model.tensors.size());
        for (std::size_t i = 0; i < plans.size(); ++i) {
            const auto& tensor = model.tensors[i];
            if (!tensor.quantizable || tensor.parts.role == TensorRole::Embedding)
                continue;
            const bool decade = tensor.parts.role == TensorRole::Output && *tensor.parts.block / 10 == 1;
            const bool wide = tensor.parts.role == TensorRole::Down || *tensor.parts.block == 0 || decade;
            plans[i] = LayerPlan {tests::scheme(wide ? "int8" : "int4"), {}};
        }
        const auto recipe = recipeFor(model, plans, Recipe::uniform(tests::scheme("int2"), model));
        QCOMPARE(recipe.defaultPlan.weights, tests::scheme("int4"));
        auto lines = described(recipe);
        lines.sort();
        QCOMPARE(lines,
            (QStringList {"model.layers.*.mlp.down_proj.weight → int8", "model.layers.0.* → int8",
                "model.layers.1?.self_attn.o_proj.weight → int8"}));
    }

    void families()
    {
        QCOMPARE(familyPattern("model.layers.12.mlp.experts.3.w1.weight"),
            std::string("model.layers.*.mlp.experts.*.w1.weight"));
        QCOMPARE(familyPattern("lm_head.weight"), std::string("lm_head.weight"));
        QCOMPARE(familyPattern("..0"), std::string("..*"));
        QVERIFY(!hasWildcard("a.b") && hasWildcard("a*") && hasWildcard("?"));
    }
};

QTEST_APPLESS_MAIN(TestRecipeEdit)
#include "tst_recipe_edit.moc"
