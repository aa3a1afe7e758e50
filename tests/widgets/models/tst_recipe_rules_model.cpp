// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/models/recipe_rules_model.h"

#include <QAbstractItemModelTester>
#include <QSignalSpy>
#include <QTest>

using quantloupe::Recipe;

namespace {

quantloupe::Scheme scheme(const char* text)
{
    return *quantloupe::Scheme::parse(text);
}

quantloupe::ModelCatalog catalog()
{
    quantloupe::ModelCatalog made;
    for (const auto* name : {"model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.down_proj.weight",
             "model.layers.1.mlp.up_proj.weight", "model.layers.1.mlp.down_proj.weight", "lm_head.weight"}) {
        quantloupe::CatalogTensor tensor;
        tensor.name = name;
        tensor.parts = quantloupe::readName(name);
        tensor.shape = {8, 8};
        tensor.matrix = {8, 8};
        tensor.quantizable = true;
        made.tensors.push_back(tensor);
    }
    return made;
}

/// default, keep lm_head, two rules of which the second overrules the first in part
Recipe recipe()
{
    Recipe made;
    made.defaultPlan.weights = scheme("int4");
    made.keep = {"lm_head.weight"};
    made.rules = {
        {"*.down_proj.weight", {scheme("int8"), std::nullopt}}, {"model.layers.1.*", {scheme("nf4"), std::nullopt}}};
    return made;
}

}  // namespace

class TestRecipeRulesModel : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void obeysTheContract()
    {
        RecipeRulesModel model;
        QAbstractItemModelTester tester(&model, QAbstractItemModelTester::FailureReportingMode::QtTest);
        QCOMPARE(model.rowCount(), 0);
        model.setRecipe(recipe(), catalog());
        auto other = recipe();
        other.rules.pop_back();
        model.setRecipe(other, catalog());
        other.defaultPlan.weights = scheme("int3");
        model.setRecipe(other, catalog());
        model.setRecipe({}, {});
        QCOMPARE(model.rowCount(), 0);
    }

    void showsRows_data()
    {
        QTest::addColumn<int>("row");
        QTest::addColumn<QStringList>("cells");
        QTest::addRow("default") << 0
                                 << QStringList({QStringLiteral("default"), QStringLiteral("everything else"),
                                        QStringLiteral("int4"), QStringLiteral("1")});
        QTest::addRow("keep") << 1
                              << QStringList({QStringLiteral("keep"), QStringLiteral("lm_head.weight"),
                                     QStringLiteral("as stored"), QStringLiteral("1")});
        QTest::addRow("overruled in part") << 2
                                           << QStringList({QStringLiteral("rule"), QStringLiteral("*.down_proj.weight"),
                                                  QStringLiteral("int8"), QStringLiteral("1")});
        QTest::addRow("last word") << 3
                                   << QStringList({QStringLiteral("rule"), QStringLiteral("model.layers.1.*"),
                                          QStringLiteral("nf4"), QStringLiteral("2")});
    }
    void showsRows()
    {
        QFETCH(const int, row);
        QFETCH(const QStringList, cells);
        RecipeRulesModel model;
        model.setRecipe(recipe(), catalog());
        QStringList shown;
        for (int column = 0; column < RecipeRulesModel::ColumnCount; ++column)
            shown << model.index(row, column).data().toString();
        QCOMPARE(shown, cells);
    }

    void edits()
    {
        RecipeRulesModel model;
        model.setRecipe(recipe(), catalog());
        Recipe edited;
        connect(&model, &RecipeRulesModel::edited, &model, [&](const Recipe& after) { edited = after; });
        QSignalSpy refused(&model, &RecipeRulesModel::refused);

        QVERIFY(model.setData(model.index(0, RecipeRulesModel::Scheme), QStringLiteral("int8:tensor")));
        QCOMPARE(edited.defaultPlan.toString(), std::string("int8:tensor"));
        QVERIFY(model.setData(model.index(3, RecipeRulesModel::Match), QStringLiteral("*.1.*")));
        QCOMPARE(edited.rules[1].match, std::string("*.1.*"));
        QVERIFY(!model.setData(model.index(2, RecipeRulesModel::Scheme), QStringLiteral("int99")));
        QCOMPARE(refused.size(), 1);
        QVERIFY(!model.setData(model.index(2, RecipeRulesModel::Match), QString()));
        QCOMPARE(refused.size(), 2);
        QVERIFY(!model.setData(model.index(1, RecipeRulesModel::Scheme), QStringLiteral("int8")));

        QVERIFY(model.move(3, -1));
        QCOMPARE(edited.rules[0].match, std::string("model.layers.1.*"));
        QVERIFY(!model.move(2, -1));  // above it is a kept tensor
        QVERIFY(!model.move(3, +1));

        model.remove({0, 1, 3});
        QVERIFY(edited.keep.empty());
        QCOMPARE(edited.rules.size(), std::size_t {1});
        QCOMPARE(edited.rules[0].match, std::string("*.down_proj.weight"));
        model.addRule(QStringLiteral("*.up_proj.weight"), scheme("fp16"));
        QCOMPARE(edited.rules.back().plan.weights, scheme("fp16"));
        model.addKeep(QStringLiteral("*.0.*"));
        QCOMPARE(edited.keep.back(), std::string("*.0.*"));
        // The model itself waits for setRecipe().
        QVERIFY(model.recipe() == recipe());
    }
};

QTEST_GUILESS_MAIN(TestRecipeRulesModel)
#include "tst_recipe_rules_model.moc"
