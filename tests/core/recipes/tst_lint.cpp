// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/recipes/lint.h"
#include "tests/support/model_catalogs.h"

#include <QTest>

#include <algorithm>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

Recipe recipeOf(std::initializer_list<std::pair<const char*, const char*>> rules, std::vector<std::string> keep = {})
{
    Recipe recipe;
    recipe.defaultPlan = *LayerPlan::parse("int4:g32");
    recipe.keep = std::move(keep);
    for (const auto& [match, scheme] : rules)
        recipe.rules.push_back({match, *LayerPlan::parse(scheme)});
    return recipe;
}

std::vector<LintFinding> findingsOf(const Recipe& recipe, LintKind kind, const ModelCatalog& model = llama())
{
    auto findings = lint(recipe, model).findings;
    std::erase_if(findings, [kind](const LintFinding& finding) { return finding.kind != kind; });
    return findings;
}

}  // namespace

class TestLint : public QObject
{
    Q_OBJECT

private Q_SLOTS:
    void everyTensorIsDecidedOnce()
    {
        const auto model = llama();
        const auto report =
            lint(recipeOf({{"*mlp*", "int8"}, {"*layers.1.*", "int3"}}, {"*embed*", "*q_proj*"}), model);
        std::size_t decided = report.defaults.decides;
        for (const auto* lines : {&report.keep, &report.rules})
            for (const auto& line : *lines)
                decided += line.decides;
        const auto quantizable = std::ranges::count_if(model.tensors, &CatalogTensor::quantizable);
        QCOMPARE(decided, std::size_t(quantizable));
        QCOMPARE(report.rules[0].matches, std::size_t(6));
        QCOMPARE(report.rules[0].decides, std::size_t(3));
        QCOMPARE(report.rules[1].matches, std::size_t(7));
        QCOMPARE(report.rules[1].decides, std::size_t(6));  // q_proj is kept
        QCOMPARE(report.rules[0].examples.size(), std::size_t(3));
        QCOMPARE(report.keep[1].decides, std::size_t(2));
    }

    void rulesThatMatchNothing()
    {
        const auto found =
            findingsOf(recipeOf({{"*.wrong.*", "int8"}, {"*norm*", "int8"}, {"*up*", "int8"}}), LintKind::NoMatch);
        QCOMPARE(found.size(), std::size_t(2));
        QCOMPARE(found[0].rule, std::optional<std::size_t>(0));
        QVERIFY(found[1].text.find("never quantized") != std::string::npos);
        QCOMPARE(findingsOf(recipeOf({}, {"*norm*"}), LintKind::NoMatch).size(), std::size_t(0));
        QCOMPARE(findingsOf(recipeOf({}, {"nothing"}), LintKind::NoMatch).size(), std::size_t(1));
    }

    void shadowedRules()
    {
        const auto found =
            findingsOf(recipeOf({{"*up_proj*", "int8"}, {"*q_proj*", "int8"}, {"*mlp*", "int3"}}, {"*q_proj*"}),
                LintKind::Shadowed);
        QCOMPARE(found.size(), std::size_t(2));
        QVERIFY(found[0].text.find("'*mlp*' wins 2") != std::string::npos);
        QVERIFY(found[1].text.find("keep wins 2") != std::string::npos);
    }

    void overlappingRules()
    {
        const auto found = findingsOf(recipeOf({{"*mlp*", "int8"}, {"*layers.1.*", "int3"}}), LintKind::Conflict);
        QCOMPARE(found.size(), std::size_t(1));
        QCOMPARE(found[0].tensors.size(), std::size_t(3));
        // An exception to a general rule is none, nor are rules that agree.
        QCOMPARE(findingsOf(recipeOf({{"*mlp*", "int8"}, {"*up_proj*", "int3"}}), LintKind::Conflict).size(),
            std::size_t(0));
        QCOMPARE(findingsOf(recipeOf({{"*mlp*", "int8"}, {"*layers.1.*", "int8"}}), LintKind::Conflict).size(),
            std::size_t(0));
    }

    void rulesThatSayNothingNew()
    {
        QCOMPARE(findingsOf(recipeOf({{"*mlp*", "int4:g32"}}), LintKind::Redundant).size(), std::size_t(1));
        QCOMPARE(findingsOf(recipeOf({{"*mlp*", "int8"}, {"*up*", "int4:g32"}}), LintKind::Redundant).size(),
            std::size_t(0));
    }

    void groupsThatDoNotDivide()
    {
        // Rows of 64, and of 172 in down_proj.
        const auto found = findingsOf(recipeOf({}), LintKind::ShortGroup);
        QCOMPARE(found.size(), std::size_t(1));
        QCOMPARE(found[0].tensors.size(), std::size_t(2));
        QVERIFY(found[0].text.find("172") != std::string::npos);
        QCOMPARE(findingsOf(recipeOf({{"*down_proj*", "int4:g43"}}), LintKind::ShortGroup).size(), std::size_t(0));
        QVERIFY(found[0].severity == LintSeverity::Warning);
        const auto wide =
            findingsOf(recipeOf({{"*q_proj*", "int4:g128"}, {"*down_proj*", "int8"}}), LintKind::ShortGroup);
        QCOMPARE(wide.size(), std::size_t(1));
        QVERIFY(wide[0].text.find("whole row") != std::string::npos);
        // Blocks of 256 in rows of 64 are in no file.
        const auto blocks = findingsOf(recipeOf({{"*q_proj*", "q4_k"}, {"*down_proj*", "int8"}}), LintKind::ShortGroup);
        QCOMPARE(blocks.size(), std::size_t(1));
        QVERIFY(blocks[0].severity == LintSeverity::Error);
        QVERIFY(blocks[0].text.find("block of 256") != std::string::npos);
    }

    void fusedTensorsShareASchemeOrAreTold()
    {
        const auto found = findingsOf(recipeOf({{"*layers.0*k_proj*", "int8"}}), LintKind::SplitFusion);
        QCOMPARE(found.size(), std::size_t(1));
        QCOMPARE(found[0].tensors.size(), std::size_t(3));
    }

    void otherModels()
    {
        auto recipe = recipeOf({});
        QCOMPARE(findingsOf(recipe, LintKind::OtherModel).size(), std::size_t(0));
        recipe.fingerprint = "of another";
        QCOMPARE(findingsOf(recipe, LintKind::OtherModel).size(), std::size_t(1));
    }
};

QTEST_GUILESS_MAIN(TestLint)
#include "tst_lint.moc"
