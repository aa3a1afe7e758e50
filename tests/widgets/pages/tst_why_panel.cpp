// SPDX-License-Identifier: GPL-3.0-or-later
// Why a layer loses what it loses, and what helps: read, tried and used on the Layer page.
#include "core/analysis/error_causes.h"
#include "tests/support/screenshots.h"
#include "tests/widgets/pages/small_model.h"
#include "widgets/models/cures_model.h"
#include "widgets/pages/layer_page.h"
#include "widgets/theme/theme.h"

#include <QAbstractItemModelTester>
#include <QLabel>
#include <QPushButton>
#include <QTableView>
#include <QTest>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

const QString layer = QStringLiteral("model.layers.1.mlp.down_proj.weight");

}  // namespace

class TestWhyPanel : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void explainsAndCures()
    {
        QTemporaryDir folder;
        const auto workbench = openedWorkbench(folder, llamaTensors(2, 64));
        QVERIFY(workbench);
        workbench->setDefaultScheme(Scheme::parse("int4:channel").value());
        LayerPage page(workbench.get());
        page.resize(1100, 2200);
        page.show();
        QVERIFY(QTest::qWaitForWindowExposed(&page));
        workbench->select({layer});

        // The one input channel that sticks out is named, in the words of the analysis.
        auto* causes = page.findChild<QLabel*>(QStringLiteral("causes"));
        QTRY_VERIFY_WITH_TIMEOUT(!causes->text().isEmpty(), 20'000);
        const auto& tensor = workbench->model()->tensors[workbench->model()->find(layer.toStdString()).value()];
        Progress progress;
        const auto weights = measureWeights(tensor, {}, progress).value();
        const auto scheme = workbench->schemeOf(layer).value();
        const auto inspection = inspectLayer(tensor, weights, scheme, {}, progress).value();
        for (const auto& sentence : causesOf(inspection, weights, nullptr).sentences())
            QVERIFY2(causes->text().contains(QString::fromStdString(sentence)), qPrintable(causes->text()));

        auto* table = page.findChild<QTableView*>(QStringLiteral("cures"));
        auto* use = page.findChild<QPushButton*>(QStringLiteral("use-cure"));
        QCOMPARE(table->model()->rowCount(), 0);
        QVERIFY(!use->isEnabled());
        page.findChild<QPushButton*>(QStringLiteral("try-cures"))->click();
        QTRY_VERIFY_WITH_TIMEOUT(table->model()->rowCount() > 5, 60'000);
        QAbstractItemModelTester tester(table->model(), QAbstractItemModelTester::FailureReportingMode::QtTest);
        const auto expected = tryCures(tensor, weights, scheme, workbench->model().get(), {}, progress).value();
        QCOMPARE(table->model()->rowCount(), int(expected.size()));
        int usable = -1, mixture = -1;
        for (int row = 0; row < table->model()->rowCount(); ++row) {
            const auto& cure = expected[std::size_t(row)];
            const auto at = [&](int column, int role) { return table->model()->index(row, column).data(role); };
            QCOMPARE(at(CuresModel::Gain, CuresModel::ValueRole).toDouble(), cure.gain());
            QCOMPARE(at(CuresModel::Size, CuresModel::ValueRole).toLongLong(),
                qint64(cure.bytesAfter) - qint64(cure.bytesBefore));
            QCOMPARE(at(CuresModel::What, Qt::ToolTipRole).toString(), QString::fromStdString(cure.sentence()));
            (cure.isMixture() ? mixture : usable) = row;
        }
        QVERIFY(usable >= 0 && mixture >= 0);
        for (const auto mode : {ThemeMode::Light, ThemeMode::Dark}) {
            Theme::instance().setMode(mode);
            QTest::qWait(300);
            saveScreenshot(page.grab(),
                QStringLiteral("page_why_%1")
                    .arg(mode == ThemeMode::Dark ? QStringLiteral("dark") : QStringLiteral("light")));
        }
        Theme::instance().setMode(ThemeMode::Light);

        table->selectRow(mixture);
        QVERIFY(!use->isEnabled());  // no scheme says it
        table->selectRow(0);
        const auto best = table->model()->index(0, 0).data(CuresModel::SchemeRole).toString();
        if (best.isEmpty())
            table->selectRow(usable);
        const auto chosen = table->selectionModel()->selectedRows().front().data(CuresModel::SchemeRole).toString();
        QVERIFY(use->isEnabled());
        use->click();
        QCOMPARE(QString::fromStdString(workbench->schemeOf(layer)->toString()), chosen);
        QCOMPARE(table->model()->rowCount(), 0);  // they were of the scheme before

        workbench->setScheme({layer}, std::nullopt);
        QTRY_VERIFY(causes->text().contains(QStringLiteral("as stored")));
    }

    /// The next model has tensors of the same names under the same scheme.
    void forgetsAClosedModel()
    {
        QTemporaryDir folder, other;
        const auto workbench = openedWorkbench(folder, llamaTensors(2, 64));
        QVERIFY(workbench);
        const auto scheme = Scheme::parse("int4:channel").value();
        workbench->setDefaultScheme(scheme);
        LayerPage page(workbench.get());
        page.resize(1100, 2200);
        page.show();
        QVERIFY(QTest::qWaitForWindowExposed(&page));
        workbench->select({layer});
        auto* causes = page.findChild<QLabel*>(QStringLiteral("causes"));
        auto* table = page.findChild<QTableView*>(QStringLiteral("cures"));
        auto* button = page.findChild<QPushButton*>(QStringLiteral("try-cures"));
        QTRY_VERIFY_WITH_TIMEOUT(!causes->text().isEmpty() && button->isEnabled(), 20'000);
        button->click();
        QTRY_VERIFY_WITH_TIMEOUT(table->model()->rowCount() > 0, 60'000);

        QSignalSpy changed(workbench.get(), &Workbench::modelChanged);
        workbench->openModel(writeModel(other, llamaTensors(2, 32)));
        QTRY_VERIFY_WITH_TIMEOUT(!changed.isEmpty(), 20'000);
        QCOMPARE(table->model()->rowCount(), 0);
        QVERIFY(causes->text().isEmpty());
        QVERIFY(!button->isEnabled());
        workbench->setDefaultScheme(scheme);
        workbench->select({layer});
        QCOMPARE(table->model()->rowCount(), 0);
        QTRY_VERIFY_WITH_TIMEOUT(!causes->text().isEmpty() && button->isEnabled(), 20'000);

        // What is being tried when the model is closed is tried no more.
        button->click();
        workbench->closeModel();
        QTRY_VERIFY_WITH_TIMEOUT(!workbench->jobs()->isBusy(), 20'000);
        QCOMPARE(table->model()->rowCount(), 0);
        QVERIFY(causes->text().isEmpty());
        QVERIFY(!button->isEnabled());
    }
};

QTEST_MAIN(TestWhyPanel)
#include "tst_why_panel.moc"
