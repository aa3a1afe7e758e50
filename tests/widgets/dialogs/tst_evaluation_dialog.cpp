// SPDX-License-Identifier: GPL-3.0-or-later
// What an evaluation found, in words and by depth: the same numbers in the table, the plot and the clipboard.
#include "tests/support/screenshots.h"
#include "widgets/dialogs/evaluation_dialog.h"
#include "widgets/plots/depth_error_plot.h"
#include "widgets/support/format_text.h"
#include "widgets/support/qcustomplot.h"
#include "widgets/theme/theme.h"

#include <QClipboard>
#include <QGuiApplication>
#include <QLabel>
#include <QPointer>
#include <QProgressBar>
#include <QPushButton>
#include <QTableWidget>
#include <QTest>
#include <QToolTip>

#include <chrono>
#include <cmath>
#include <thread>

using namespace quantloupe;

namespace {

Evaluation evaluation()
{
    Evaluation found {.tokens = 2048, .windows = 4, .scored = 1020, .base = {4.02, 3.81, 4.25}};
    found.quantized = Perplexity {4.31, 4.08, 4.56};
    found.divergence = Divergence {.mean = 0.0712, .median = 0.031, .p99 = 0.61, .max = 1.9, .topAgreement = 0.884};
    found.depth = {{1.0, 0.0}, {1.0, 0.01}, {2.0, 0.01}, {4.0, 0.04}, {9.0, 0.18}, {30.0, 0.3}};
    return found;
}

/// As of a run that has ended: what it came to, one after the other.
EvaluationDialog* dialogOf(const std::vector<EvaluationState>& states, const char* recipe = "int4:g32")
{
    const auto soFar = std::make_shared<LiveList<EvaluationState>>();
    for (const auto& state : states)
        soFar->append(state);
    return new EvaluationDialog({.text = QStringLiteral("stories.txt"), .soFar = soFar}, QString::fromLatin1(recipe));
}

EvaluationDialog* dialogOf(const Evaluation& found, const char* recipe = "int4:g32")
{
    return dialogOf(std::vector {EvaluationState {found, {}}}, recipe);
}

}  // namespace

class TestEvaluationDialog : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void initTestCase() { QLocale::setDefault(QLocale::c()); }

    void tableAndPlotSayTheSame()
    {
        const auto found = evaluation();
        auto* dialog = dialogOf(found);
        dialog->show();
        QVERIFY(QTest::qWaitForWindowExposed(dialog));
        const auto* plot = dialog->findChild<DepthErrorPlot*>();
        QVERIFY(plot && plot->isVisible() && plot->hasData());
        const auto drawn = plot->table();
        const auto* table = dialog->findChildren<QTableWidget*>().last();
        QCOMPARE(table->accessibleName(), QStringLiteral("Error by depth"));
        QCOMPARE(drawn.rows.size(), 6);
        QCOMPARE(table->rowCount(), 6);
        QVERIFY(std::isinf(drawn.rows[0][1].toDouble()));
        QCOMPARE(table->item(0, 1)->text(), QStringLiteral("no error"));
        for (int row = 1; row < 6; ++row) {
            const auto& depth = found.depth[std::size_t(row)];
            const double expected = 10.0 * std::log10(depth.signal / depth.noise);
            QVERIFY(std::abs(drawn.rows[row][1].toDouble() - expected) < 1e-9);
            QCOMPARE(table->item(row, 1)->text(), format::decibels(expected));
            QCOMPARE(drawn.rows[row][0].toString(), table->item(row, 0)->text());
        }
        for (auto* button : dialog->findChildren<QPushButton*>())
            if (button->text() == QStringLiteral("&Copy"))
                button->click();
        const auto line = QStringLiteral("block 1\t") + format::decibels(10.0 * std::log10(200.0));
        QVERIFY2(QGuiApplication::clipboard()->text().contains(line), qPrintable(QGuiApplication::clipboard()->text()));
        dialog->close();
    }

    void hoverNamesTheBlock()
    {
        DepthErrorPlot plot;
        plot.setData({std::numeric_limits<double>::infinity(), 20.0, 23.01, 17.0});
        plot.resize(520, 320);
        plot.show();
        QVERIFY(QTest::qWaitForWindowExposed(&plot));
        auto* canvas = plot.findChild<QCustomPlot*>();
        canvas->replot();
        const auto textAt = [&](double place) {
            QToolTip::hideText();
            const QPoint position =
                QPointF(canvas->xAxis->coordToPixel(place), canvas->yAxis->coordToPixel(19.0)).toPoint();
            QTest::mouseMove(canvas, position + QPoint(1, 1));
            QTest::mouseMove(canvas, position);
            QCoreApplication::processEvents();
            return QToolTip::text();
        };
        QCOMPARE(textAt(2.1), tr("Behind block 1: %1").arg(format::decibels(23.01)));
        QCOMPARE(textAt(0.0), QStringLiteral("Behind embedding: no error"));
        QVERIFY(canvas->yAxis->range().contains(17.0) && canvas->yAxis->range().contains(23.01));
    }

    void withoutError()
    {
        DepthErrorPlot plot;
        QVERIFY(!plot.hasData() && plot.table().rows.isEmpty());
        plot.setData({std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity()});
        QVERIFY(!plot.hasData());
        auto found = evaluation();
        found.depth.clear();
        found.quantized.reset();
        found.divergence.reset();
        auto* dialog = dialogOf(found, "as stored");
        dialog->show();
        QVERIFY(QTest::qWaitForWindowExposed(dialog));
        QVERIFY(!dialog->findChild<DepthErrorPlot*>()->isVisible());
        dialog->close();
    }

    /// The error of the blocks passed is there before any prediction is; a stop keeps it and says so.
    void growsWhileTheJobRuns()
    {
        const auto soFar = std::make_shared<LiveList<EvaluationState>>();
        Job job(QStringLiteral("Evaluate"), [](const std::stop_token& stop, Progress& progress) -> Result<void> {
            progress.totalItems = 10;
            progress.doneItems = 4;
            while (!stop.stop_requested())
                std::this_thread::sleep_for(std::chrono::milliseconds(2));
            return failure(ErrorCode::Cancelled, "", "stopped on request");
        });
        auto* dialog = new EvaluationDialog(
            {.text = QStringLiteral("stories.txt"), .job = &job, .soFar = soFar}, QStringLiteral("int4:g32"));
        const QPointer<EvaluationDialog> alive(dialog);
        dialog->show();
        QVERIFY(QTest::qWaitForWindowExposed(dialog));
        job.start(1, false);
        const auto* plot = dialog->findChild<DepthErrorPlot*>();
        const auto* summary = dialog->findChild<QLabel*>(QStringLiteral("summary"));
        QVERIFY(!plot->isVisible());
        Evaluation partial {.tokens = 2048};
        partial.depth = {{1.0, 0.0}, {1.0, 0.01}};
        soFar->append({partial, {0.35, 0.6}});
        QTRY_VERIFY(plot->isVisible());
        QCOMPARE(plot->table().rows.size(), 2);
        QCOMPARE(dialog->findChildren<QTableWidget*>().first()->rowCount(), 0);
        QVERIFY2(summary->text().contains(QStringLiteral("α from 0.35 to 0.6")), qPrintable(summary->text()));
        auto* bar = dialog->findChild<QProgressBar*>();
        QVERIFY(bar->isVisible());
        QTRY_COMPARE(bar->value(), 400);
        partial.depth.push_back({2.0, 0.01});
        soFar->append({partial, {0.35, 0.6}});
        QTRY_COMPARE(plot->table().rows.size(), 3);
        tests::saveScreenshot(dialog->grab(), QStringLiteral("dialog_evaluation_running"));
        QTest::mouseClick(dialog->findChild<QPushButton*>(QStringLiteral("stopJob")), Qt::LeftButton);
        QTRY_VERIFY(summary->text().startsWith(QStringLiteral("Stopped.")));
        QVERIFY(!bar->isVisible());
        QVERIFY(alive);
        dialog->close();
        QTRY_VERIFY(!alive);
    }

    void pictures()
    {
        for (const bool dark : {false, true}) {
            Theme::instance().setMode(dark ? ThemeMode::Dark : ThemeMode::Light);
            QCoreApplication::processEvents();
            auto* dialog = dialogOf(evaluation());
            dialog->show();
            QVERIFY(QTest::qWaitForWindowExposed(dialog));
            tests::saveScreenshot(dialog->grab(),
                dark ? QStringLiteral("dialog_evaluation_dark") : QStringLiteral("dialog_evaluation_light"));
            dialog->close();
        }
        Theme::instance().setMode(ThemeMode::Light);
    }
};

QTEST_MAIN(TestEvaluationDialog)
#include "tst_evaluation_dialog.moc"
