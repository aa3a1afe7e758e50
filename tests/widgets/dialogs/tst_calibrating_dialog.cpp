// SPDX-License-Identifier: GPL-3.0-or-later
// A calibration that is watched: figures come input by input, a stop keeps them, and closing stops nothing.
#include "tests/support/screenshots.h"
#include "widgets/dialogs/calibrating_dialog.h"
#include "widgets/dialogs/evaluate_dialog.h"
#include "widgets/plots/input_series_plot.h"
#include "widgets/support/format_text.h"
#include "widgets/support/qcustomplot.h"
#include "widgets/theme/theme.h"

#include <QCheckBox>
#include <QDoubleSpinBox>
#include <QLabel>
#include <QPointer>
#include <QPushButton>
#include <QTest>
#include <QToolTip>

#include <atomic>
#include <chrono>
#include <cmath>
#include <limits>
#include <thread>

using namespace quantloupe;

namespace {

CalibratedInput input(const std::string& layer, double loudest, double moved)
{
    return {.layer = layer, .tokens = 512, .loudest = loudest, .moved = moved, .outliers = loudest > 6.0 ? 2U : 0U};
}

/// Runs until it is stopped, or told to end well.
class WatchedCalibration
{
public:
    WatchedCalibration()
        : m_job(QStringLiteral("Calibrate"),
            [end = m_end](const std::stop_token& stop, Progress&) -> Result<void> {
                while (!stop.stop_requested() && !*end)
                    std::this_thread::sleep_for(std::chrono::milliseconds(2));
                return stop.stop_requested() ? failure(ErrorCode::Cancelled, "", "stopped") : Result<void>();
            })
        , m_dialog(new CalibratingDialog({.text = QStringLiteral("stories.txt"), .job = &m_job, .soFar = m_soFar}))
    {
        m_dialog->show();
        m_job.start(1, false);
    }
    ~WatchedCalibration() { delete m_dialog; }

    void learn(const CalibratedInput& known) { m_soFar->append(known); }
    void end() { *m_end = true; }
    Job& job() { return m_job; }
    CalibratingDialog* dialog() const { return m_dialog; }
    QString text(const char* label) const { return m_dialog->findChild<QLabel*>(QString::fromLatin1(label))->text(); }

private:
    std::shared_ptr<LiveList<CalibratedInput>> m_soFar = std::make_shared<LiveList<CalibratedInput>>();
    std::shared_ptr<std::atomic<bool>> m_end = std::make_shared<std::atomic<bool>>(false);
    Job m_job;
    QPointer<CalibratingDialog> m_dialog;
};

}  // namespace

class TestCalibratingDialog : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void initTestCase() { QLocale::setDefault(QLocale::c()); }

    void figuresComeInputByInput()
    {
        WatchedCalibration run;
        QVERIFY(QTest::qWaitForWindowExposed(run.dialog()));
        const auto* loudest = run.dialog()->findChild<LoudestChannelPlot*>();
        const auto* moved = run.dialog()->findChild<MovedMomentsPlot*>();
        QVERIFY(!loudest->hasData() && !moved->hasData());
        run.learn(input("model.layers.0.self_attn.q_proj.weight", 3.5, 0.08));
        QTRY_VERIFY(loudest->hasData());
        QCOMPARE(loudest->table().rows.size(), 1);
        run.learn(input("model.layers.0.mlp.down_proj.weight", 40.0, 0.2));
        run.learn({.layer = "model.layers.0.experts.weight[3]",
            .loudest = std::numeric_limits<double>::quiet_NaN(),
            .moved = std::numeric_limits<double>::quiet_NaN()});
        QTRY_COMPARE(loudest->table().rows.size(), 3);
        QCOMPARE(moved->table().rows[1][1].toDouble(), 20.0);
        QVERIFY(run.text("summary").contains(QStringLiteral("3 inputs")));
        const auto findings = run.text("findings");
        QVERIFY2(findings.contains(QStringLiteral("One input has outlier channels")), qPrintable(findings));
        const auto most =
            format::percent(0.2) + QStringLiteral(" at most, those of model.layers.0.mlp.down_proj.weight");
        QVERIFY2(findings.contains(most), qPrintable(findings));
        QVERIFY(findings.contains(QStringLiteral("No token was routed to one expert")));
        // The limit of outliers is in view although the first inputs lie below it.
        auto* canvas = loudest->findChild<QCustomPlot*>();
        QVERIFY(canvas->yAxis->range().contains(6.0) && canvas->yAxis->range().contains(40.0));
        canvas->replot();
        const QPoint at = QPointF(canvas->xAxis->coordToPixel(2.1), canvas->yAxis->coordToPixel(20.0)).toPoint();
        QTest::mouseMove(canvas, at + QPoint(1, 1));
        QTest::mouseMove(canvas, at);
        QCOMPARE(QToolTip::text(), QStringLiteral("model.layers.0.mlp.down_proj.weight: 40 × the median channel"));
        run.end();
        QTRY_VERIFY(run.text("summary").startsWith(QStringLiteral("Done")));
    }

    void aStopKeepsWhatIsKnown()
    {
        WatchedCalibration run;
        run.learn(input("a", 3.0, 0.1));
        QTRY_VERIFY(run.text("summary").contains(QStringLiteral("the last are those of a")));
        QTest::mouseClick(run.dialog()->findChild<QPushButton*>(QStringLiteral("stopJob")), Qt::LeftButton);
        QTRY_VERIFY(run.text("summary").startsWith(QStringLiteral("Stopped. The inputs of one layer were gathered")));
        QVERIFY(!run.dialog()->findChild<QPushButton*>(QStringLiteral("stopJob"))->isVisible());
    }

    /// Gradients may have been taken all the same: no more is said than that the inputs were there.
    void aKnownTextGathersNothing()
    {
        WatchedCalibration run;
        run.end();
        QTRY_COMPARE(run.text("summary"), QStringLiteral("Done. The inputs on this text were known before."));
    }

    void closingStopsNothing()
    {
        WatchedCalibration run;
        const QPointer<CalibratingDialog> alive(run.dialog());
        run.dialog()->close();
        QTRY_VERIFY(!alive);
        QTest::qWait(150);
        QVERIFY(run.job().isActive());
        run.end();
        QTRY_COMPARE(run.job().state(), Job::State::Finished);
    }

    void theStrengthIsAskedForWhereLayersAreSmoothed()
    {
        EvaluateDialog plain(false, {}, 4096), smooth(true, {}, 4096);
        plain.show();
        smooth.show();
        QVERIFY(!plain.findChild<QDoubleSpinBox*>(QStringLiteral("alpha"))->isVisible());
        auto* alpha = smooth.findChild<QDoubleSpinBox*>(QStringLiteral("alpha"));
        QVERIFY(alpha->isVisible());
        QCOMPARE(smooth.alpha(), std::optional(0.5));
        alpha->setValue(0.3);
        QCOMPARE(smooth.alpha(), std::optional(0.3));
        auto* search = smooth.findChild<QCheckBox*>(QStringLiteral("searchAlpha"));
        QTest::mouseClick(search, Qt::LeftButton, {}, QPoint(8, search->height() / 2));
        QCOMPARE(smooth.alpha(), std::optional<double>());
        QVERIFY(!alpha->isEnabled());
    }

    void pictures()
    {
        for (const bool dark : {false, true}) {
            Theme::instance().setMode(dark ? ThemeMode::Dark : ThemeMode::Light);
            WatchedCalibration run;
            for (int block = 0; block < 5; ++block)
                for (const auto* layer : {"self_attn.q_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.down_proj"})
                    run.learn(input("model.layers." + std::to_string(block) + "." + layer + ".weight",
                        2.0 + 3.0 * block * (layer[0] == 'm' ? 1.5 : 0.4), 0.03 + 0.01 * block));
            QTRY_VERIFY(run.dialog()->findChild<LoudestChannelPlot*>()->hasData());
            QTest::qWait(50);
            tests::saveScreenshot(run.dialog()->grab(),
                dark ? QStringLiteral("dialog_calibrating_dark") : QStringLiteral("dialog_calibrating_light"));
            EvaluateDialog evaluate(true, QStringLiteral("stories.txt"), 4096);
            evaluate.show();
            tests::saveScreenshot(evaluate.grab(),
                dark ? QStringLiteral("dialog_evaluate_dark") : QStringLiteral("dialog_evaluate_light"));
        }
        Theme::instance().setMode(ThemeMode::Light);
    }
};

QTEST_MAIN(TestCalibratingDialog)
#include "tst_calibrating_dialog.moc"
