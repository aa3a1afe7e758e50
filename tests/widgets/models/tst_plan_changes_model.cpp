// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/synthetic_study.h"
#include "widgets/models/plan_changes_model.h"

#include <QAbstractItemModelTester>
#include <QTest>

using namespace quantloupe;

class PlanChangesModelTest : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void listsWhatMoved()
    {
        const ModelCatalog model = tests::syntheticCatalog(2);
        Recipe recipe = Recipe::uniform(tests::scheme("int4:g32"), model);
        const Plan before = resolve(recipe, model);
        recipe.rules.push_back({"*.0.mlp.down_proj.weight", {tests::scheme("int8"), {}}});
        recipe.rules.push_back({"*.1.self_attn.q_proj.weight", {tests::scheme("int2:g32"), {}}});
        recipe.keep.push_back("*.1.mlp.up_proj.weight");
        const Plan after = resolve(recipe, model);

        PlanChangesModel changes;
        QAbstractItemModelTester tester(&changes, QAbstractItemModelTester::FailureReportingMode::QtTest);
        changes.setPlans(model, before, after);
        QCOMPARE(changes.rowCount(), 3);
        QCOMPARE(changes.grown(), 2);
        QCOMPARE(changes.shrunk(), 1);
        QCOMPARE(changes.totalChange(), qint64(after.bytes) - qint64(before.bytes));
        // 192 × 64 weights from 4.5 bits to 32: the largest change comes first.
        QCOMPARE(changes.index(0, PlanChangesModel::Tensor).data().toString(), QStringLiteral("1.mlp.up_proj"));
        QCOMPARE(changes.index(0, 0).data(PlanChangesModel::NameRole).toString(),
            QStringLiteral("model.layers.1.mlp.up_proj.weight"));
        QCOMPARE(changes.index(0, PlanChangesModel::Before).data().toString(), QStringLiteral("int4:g32"));
        QCOMPARE(changes.index(0, PlanChangesModel::After).data().toString(), QStringLiteral("kept"));
        QCOMPARE(changes.index(0, 0).data(PlanChangesModel::ChangeRole).toLongLong(), 192LL * 64 * (32 * 2 - 9) / 16);
        QVERIFY(changes.index(2, PlanChangesModel::Change).data().toString().startsWith(QChar(0x2193)));
        QCOMPARE(changes.index(2, 0).data(PlanChangesModel::ChangeRole).toLongLong(), -64LL * 64 * 2 / 8);
        changes.clear();
        QCOMPARE(changes.rowCount(), 0);
    }

    void plansOfAnotherModelGiveNothing()
    {
        const ModelCatalog small = tests::syntheticCatalog(1), large = tests::syntheticCatalog(2);
        PlanChangesModel changes;
        changes.setPlans(large, resolve(Recipe::uniform(tests::scheme("int8"), small), small),
            resolve(Recipe::uniform(tests::scheme("int4:g32"), large), large));
        QCOMPARE(changes.rowCount(), 0);
    }
};

QTEST_GUILESS_MAIN(PlanChangesModelTest)
#include "tst_plan_changes_model.moc"
