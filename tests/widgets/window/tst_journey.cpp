// SPDX-License-Identifier: GPL-3.0-or-later
// What a person does with a real model, from opening it to the report, by mouse and keyboard.
#include "tests/support/screenshots.h"
#include "tests/support/shared_data.h"
#include "tests/widgets/window/window_fixture.h"
#include "widgets/dialogs/evaluate_dialog.h"
#include "widgets/dialogs/evaluation_dialog.h"
#include "widgets/dialogs/export_dialog.h"
#include "widgets/dialogs/report_dialog.h"
#include "widgets/dialogs/text_dialog.h"
#include "widgets/docks/scheme_editor.h"
#include "widgets/pages/qat_page.h"
#include "widgets/plots/sensitivity_map_plot.h"
#include "widgets/support/qcustomplot.h"
#include "widgets/window/budget_slider.h"
#include "widgets/workbench/quantized_training.h"

#include <QComboBox>
#include <QFile>
#include <QJsonArray>
#include <QJsonDocument>
#include <QJsonObject>
#include <QLineEdit>
#include <QMessageBox>
#include <QPushButton>
#include <QSlider>
#include <QSpinBox>
#include <QTabWidget>
#include <QTableWidget>
#include <QTimer>

using quantloupe::tests::corpus;
using quantloupe::tests::patience;
using quantloupe::tests::WindowFixture;

class TestJourney : public QObject
{
    Q_OBJECT

    /// Three bits, trained for a while on a story, by keyboard where there is one; then forgotten.
    static void train(WindowFixture& fixture)
    {
        auto& window = *fixture.window;
        QVERIFY(window.showPage(QStringLiteral("qat")));
        QVERIFY(fixture.rest());
        auto* page = window.findChild<QatPage*>();
        QVERIFY(page);
        const auto button = [page](const char* name) { return page->findChild<QPushButton*>(QLatin1String(name)); };
        QVERIFY(!button("start-training")->isEnabled());
        button("choose-text")->setFocus();
        QTest::keyClick(button("choose-text"), Qt::Key_Space);
        auto* dialog = page->findChild<TextDialog*>();
        QVERIFY(dialog);
        dialog->findChild<QLineEdit*>(QStringLiteral("file"))
            ->setText(QString::fromStdString((corpus() / "text" / "tinystories_val_A.txt").string()));
        dialog->findChild<QSpinBox*>(QStringLiteral("tokens"))->setValue(5120);
        QTest::keyClick(dialog, Qt::Key_Return);
        QVERIFY(button("start-training")->isEnabled());
        auto* format = page->findChild<SchemeEditor*>()->findChild<QComboBox*>();
        format->setFocus();
        QTest::keyClick(format, Qt::Key_Up);
        auto* steps = page->findChild<QSpinBox*>(QStringLiteral("train-steps"));
        steps->setFocus();
        steps->selectAll();
        QTest::keyClicks(steps, QStringLiteral("30"));
        QTest::keyClick(steps, Qt::Key_Tab);
        button("start-training")->setFocus();
        QTest::keyClick(button("start-training"), Qt::Key_Space);
        QVERIFY(fixture.rest());
        const auto snapshot = page->training()->snapshot();
        QVERIFY(snapshot && snapshot->isDone);
        QCOMPARE(snapshot->history.steps.size(), std::size_t(30));
        QVERIFY(snapshot->history.evaluations.back().divergence < snapshot->history.evaluations.front().divergence);
        quantloupe::tests::saveScreenshot(window.grab(), QStringLiteral("journey_qat"));

        // What no file holds is not closed away without a word.
        QString asked;
        QTimer::singleShot(0, &window, [&asked] {
            if (auto* box = qobject_cast<QMessageBox*>(QApplication::activeModalWidget())) {
                asked = box->text();
                box->button(QMessageBox::Cancel)->click();
            }
        });
        QVERIFY(!window.close());
        QVERIFY2(asked.contains(QStringLiteral("training")), qPrintable(asked));
        page->training()->discard();
    }

private Q_SLOTS:
    void fromModelToReport()
    {
        const auto model = corpus() / "llm/stories260K/hf/model.safetensors";
        QUANTLOUPE_NEED(model);
        WindowFixture fixture;
        QVERIFY(fixture.start());
        QVERIFY(fixture.open(QString::fromStdString(model.string())));
        auto& window = *fixture.window;
        auto* workbench = window.workbench();
        QCOMPARE(workbench->catalog().parameters(), std::uint64_t(260'032));
        const auto opened = workbench->recipe();

        // A click in the heat map selects the layer, everywhere.
        QVERIFY(window.showPage(QStringLiteral("sensitivity")));
        QVERIFY(fixture.rest());
        auto* map = window.findChild<SensitivityMapPlot*>();
        QVERIFY(map && map->hasData());
        constexpr int row = 7;
        const auto tensor = map->data().rows[row].tensor;
        QTest::mouseClick(map->findChild<QCustomPlot*>(), Qt::LeftButton, {}, map->cellCenter(row, 1).toPoint());
        QCOMPARE(workbench->selection(), QStringList {tensor});
        QCOMPARE(fixture.tree()->selectionModel()->selectedRows(), QModelIndexList {fixture.row(tensor)});

        // Another scheme for it, chosen on the Layer page with the keyboard: two bits more.
        QVERIFY(window.showPage(QStringLiteral("layer")));
        QVERIFY(fixture.rest());
        const auto before = workbench->schemeOf(tensor);
        QVERIFY(before);
        auto* layer = window.findChild<QWidget*>(QStringLiteral("layer"));
        auto* format = layer->findChild<SchemeEditor*>()->findChild<QComboBox*>();
        format->setFocus();
        QTest::keyClick(format, Qt::Key_Down);
        QTest::keyClick(format, Qt::Key_Down);
        QVERIFY(fixture.rest());
        QCOMPARE(before->toString(), std::string("int4"));
        QCOMPARE(workbench->schemeOf(tensor)->toString(), std::string("int6:g128"));
        const auto measured = workbench->study()->find(tensor.toStdString(), "int6:g128");
        QVERIFY2(measured, "the new scheme was not measured");
        QVERIFY(measured->error.sqnrDb() > 30.0);  // int4 has 19 dB, and each bit brings about 6
        quantloupe::tests::saveScreenshot(window.grab(), QStringLiteral("journey_layer"));

        // The budget, by a hand on the slider.
        auto* budget = window.budget();
        QTRY_VERIFY_WITH_TIMEOUT(budget->isReady(), patience);
        const auto edited = workbench->recipe();
        const auto bits = workbench->plan().bitsPerWeight;
        budget->slider()->setSliderDown(true);
        for (const int share : {5, 2, 0}) {
            budget->slider()->setValue(budget->slider()->maximum() * share / 10);
            QVERIFY(fixture.rest());
        }
        budget->slider()->setSliderDown(false);
        QVERIFY(fixture.rest());
        QVERIFY(workbench->plan().bitsPerWeight < bits);

        // One step back for the whole drag, one for each key.
        QTest::keySequence(&window, QKeySequence::Undo);
        QVERIFY(workbench->recipe() == edited);
        for (int key = 0; key < 2; ++key)
            QTest::keySequence(&window, QKeySequence::Undo);
        QVERIFY(workbench->recipe() == opened);
        for (int key = 0; key < 2; ++key)
            QTest::keySequence(&window, QKeySequence::Redo);
        QVERIFY(workbench->recipe() == edited);

        train(fixture);

        fixture.action(QStringLiteral("Export…"))->trigger();
        auto* dialog = window.findChild<ExportDialog*>();
        QVERIFY(dialog);
        dialog->setTarget(QStringLiteral("quantloupe"));
        QVERIFY(fixture.rest());
        const auto recipe = fixture.file(QStringLiteral("stories.recipe.json"));
        QCOMPARE(dialog->saveTo(recipe, false), QString());
        QFile written(recipe);
        QVERIFY(written.open(QIODevice::ReadOnly));
        const auto root = QJsonDocument::fromJson(written.readAll()).object();
        QCOMPARE(root[QStringLiteral("quantloupe_recipe")].toInt(), 1);
        QCOMPARE(root[QStringLiteral("rules")].toArray().size(), 1);
        dialog->close();

        fixture.action(QStringLiteral("Report…"))->trigger();
        auto* report = window.findChild<ReportDialog*>();
        QVERIFY(report);
        const auto page = fixture.file(QStringLiteral("stories.html"));
        QTRY_VERIFY_WITH_TIMEOUT(!report->preview().isEmpty(), patience);
        QCOMPARE(report->saveTo(page), QString());
        QFile html(page);
        QVERIFY(html.open(QIODevice::ReadOnly));
        const auto text = html.readAll();
        QVERIFY(text.count("<svg") >= 10);
        QVERIFY(text.contains(tensor.toUtf8()));
    }

    /// The bundled sample brings a text to evaluate on; the dialog of the run shows what comes of it.
    void evaluatesTheSampleAtOnce()
    {
        WindowFixture fixture;
        QVERIFY(fixture.start());
        QVERIFY(fixture.open(Workbench::samplePath()));
        auto& window = *fixture.window;
        QTest::keyClick(&window, Qt::Key_T, Qt::ControlModifier);
        auto* ask = window.findChild<EvaluateDialog*>();
        QVERIFY(ask);
        QVERIFY(ask->file().endsWith(QStringLiteral("quantloupe-sample/text.txt")));
        ask->findChild<QSpinBox*>(QStringLiteral("tokens"))->setValue(2048);
        QTest::keyClick(ask, Qt::Key_Return);
        auto* dialog = window.findChild<EvaluationDialog*>();
        QVERIFY(dialog);
        QVERIFY(dialog->findChild<QPushButton*>(QStringLiteral("stopJob"))->isVisible());
        QVERIFY(fixture.rest());
        QVERIFY(!dialog->findChild<QPushButton*>(QStringLiteral("stopJob"))->isVisible());
        const auto* figures = dialog->findChildren<QTableWidget*>().first();
        QCOMPARE(figures->rowCount(), 8);
        const double base = figures->item(0, 1)->text().section(u' ', 0, 0).toDouble();
        QVERIFY2(base > 1.4 && base < 2.0, qPrintable(figures->item(0, 1)->text()));
        quantloupe::tests::saveScreenshot(dialog->grab(), QStringLiteral("journey_evaluation"));
        dialog->close();
    }
};

QTEST_MAIN(TestJourney)
#include "tst_journey.moc"
