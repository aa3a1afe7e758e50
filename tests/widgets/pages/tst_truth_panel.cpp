// SPDX-License-Identifier: GPL-3.0-or-later
// Prediction and truth of a recipe, asked for and adopted as a person does, on a model that runs.
#include "core/analysis/plan_divergence.h"
#include "tests/support/screenshots.h"
#include "tests/support/shared_data.h"
#include "widgets/dialogs/text_dialog.h"
#include "widgets/pages/frontier_budget.h"
#include "widgets/pages/trade_off_page.h"
#include "widgets/pages/truth_panel.h"
#include "widgets/plots/trade_off_plot.h"
#include "widgets/plots/truth_plot.h"
#include "widgets/support/qcustomplot.h"
#include "widgets/theme/theme.h"
#include "widgets/workbench/text_reading.h"
#include "widgets/workbench/workbench.h"

#include <QComboBox>
#include <QDoubleSpinBox>
#include <QLabel>
#include <QLineEdit>
#include <QPushButton>
#include <QSignalSpy>
#include <QSpinBox>
#include <QTemporaryDir>
#include <QTest>

#include <cmath>
#include <utility>

using namespace quantloupe;

namespace {

constexpr int patience = 120'000;  // milliseconds; the machine may be busy
constexpr int tokens = 1024;

}  // namespace

class TestTruthPanel : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void initTestCase()
    {
        const auto llm = tests::corpus() / "llm" / "stories260K" / "hf";
        QUANTLOUPE_NEED(llm);
        m_text = QString::fromStdString((tests::corpus() / "text" / "tinystories_val_A.txt").string());
        qputenv("QUANTLOUPE_DATA", m_folder.path().toUtf8());
        m_workbench = std::make_unique<Workbench>();
        m_workbench->setSweep({Scheme::parse("int2:g32:asym").value(), Scheme::parse("int3:g32:asym").value(),
            Scheme::parse("int4:g32:asym").value(), Scheme::parse("int8:g32").value()});
        QSignalSpy opened(m_workbench.get(), &Workbench::modelChanged);
        m_workbench->openModel(QString::fromStdString(llm.string()));
        QVERIFY(opened.wait(patience) && settled());
        m_workbench->setDefaultScheme(Scheme::parse("int3:g32:asym").value());
        QVERIFY(settled());
        m_page = std::make_unique<TradeOffPage>(m_workbench.get());
        m_page->resize(1180, 760);
        m_page->show();
        QVERIFY(QTest::qWaitForWindowExposed(m_page.get()));
        QTRY_VERIFY_WITH_TIMEOUT(m_page->findChild<TradeOffPlot*>()->hasData(), patience);
        QTRY_VERIFY_WITH_TIMEOUT(m_page->findChild<TradeOffPlot*>()->data().current.has_value(), patience);
    }

    void nothingIsKnownBeforeItIsAsked()
    {
        QVERIFY(!plot()->hasData());
        QVERIFY(emptyText().contains(QStringLiteral("Measure the recipe")));
        QVERIFY(button("measure-truth")->isEnabled());
        QVERIFY(!button("adopt-truth")->isEnabled());
    }

    void withoutAFrontierNothingIsSearched()
    {
        FrontierBudget budget(m_workbench.get());
        TruthPanel panel(m_workbench.get(), &budget);
        QVERIFY(panel.findChild<QPushButton*>(QStringLiteral("measure-truth"))->isEnabled());
        const auto* search = panel.findChild<QPushButton*>(QStringLiteral("search-truth"));
        QVERIFY(!search->isEnabled());
        budget.setActive(&panel, true);
        QTRY_VERIFY_WITH_TIMEOUT(search->isEnabled(), patience);
    }

    /// Sums of errors of weights are no KL, and have no place on its axis.
    void withoutRankingNothingIsPredicted()
    {
        QVERIFY2(!m_isRanked, "comes before the cases that rank the layers");
        run("search-truth");
        QVERIFY(pointOf(TruthData::Kind::Tried) && pointOf(TruthData::Kind::Best));
        for (const auto& point : plot()->data().points) {
            QVERIFY2(std::isnan(point.predicted), qPrintable(point.label));
            QVERIFY(std::isfinite(point.measured));
        }
        QVERIFY(!plot()->hasData());
        QVERIFY2(emptyText().contains(QStringLiteral("predicts no KL")), qPrintable(emptyText()));
        QVERIFY2(summary().contains(QStringLiteral("Rank the layers")), qPrintable(summary()));
    }

    void measuresTheRecipe()
    {
        rank();
        run("measure-truth");
        const auto point = pointOf(TruthData::Kind::Current);
        QVERIFY(point);
        QTRY_VERIFY(std::abs(point->predicted - m_page->findChild<TradeOffPlot*>()->data().current->error) < 1e-12);
        QCOMPARE(point->bytes, double(m_workbench->plan().bytes));
        // The same figure by another way.
        const auto reading = TextReading::of(*m_workbench->model(), m_text.toStdString(), tokens).value();
        Progress progress;
        auto divergence = PlanDivergence::begin(reading.decoder, reading.windows, 1, {}, {}, progress);
        QVERIFY(divergence);
        QCOMPARE(point->measured, divergence->measure(m_workbench->plan())->divergence.mean);
        QVERIFY(point->standardError > 0.0);
        QVERIFY(pointOf(TruthData::Kind::Uniform));
        QVERIFY(!pointOf(TruthData::Kind::Best));
        QVERIFY(summary().contains(QStringLiteral("predicted")));
        QVERIFY(!button("adopt-truth")->isEnabled());
    }

    void saysThatTheRecipeHasChangedSince()
    {
        rank();
        run("measure-truth");
        const auto label = [this] { return pointOf(TruthData::Kind::Current).value_or(TruthData::Point {}).label; };
        QCOMPARE(label(), QStringLiteral("Current recipe"));
        m_workbench->setDefaultScheme(Scheme::parse("int4:g32:asym").value());
        QVERIFY2(summary().startsWith(QStringLiteral("The recipe has changed since. ")), qPrintable(summary()));
        QCOMPARE(label(), QStringLiteral("Recipe as measured"));
        m_workbench->undoStack()->undo();
        QVERIFY2(!summary().contains(QStringLiteral("has changed")), qPrintable(summary()));
        QCOMPARE(label(), QStringLiteral("Current recipe"));
    }

    /// With predictions a budget can be what the predictions may move: the fewest bytes, as the core has them.
    void aBudgetOfDivergence()
    {
        rank();
        auto* unit = m_page->findChild<QComboBox*>(QStringLiteral("budgetUnit"));
        auto* spin = m_page->findChild<QDoubleSpinBox*>(QStringLiteral("budgetValue"));
        const int row = unit->findText(QStringLiteral("nats of KL, at most"));
        QVERIFY(unit->model()->flags(unit->model()->index(row, 0)) & Qt::ItemIsEnabled);
        unit->setCurrentIndex(row);
        const auto before = m_workbench->recipe();
        const auto* budget = FrontierBudget::of(m_workbench.get());
        const double shown = spin->value();
        QVERIFY(std::abs(shown - budget->current()->error) <= 0.51 * std::pow(10.0, -spin->decimals()));
        spin->setValue(0.5 * shown);
        const double wanted = spin->value();
        QTRY_VERIFY_WITH_TIMEOUT(m_workbench->recipe() != before, patience);
        const auto allocation = allocateWithin(budget->picture()->frontier, *m_workbench->study(),
            {.kind = AllocationLimit::Kind::TotalError, .value = wanted});
        QVERIFY(allocation);
        QCOMPARE(m_workbench->plan().bytes, allocation->point.bytes);
        QVERIFY(placeOf(m_workbench->recipe(), *m_workbench->study(), "recipe", budget->picture()->metric).error
            <= wanted * (1.0 + 1e-9));
        m_workbench->undoStack()->undo();
        QCOMPARE(m_workbench->recipe(), before);
        unit->setCurrentIndex(0);
    }

    /// The study gives it back, to the same recipe alone.
    void survivesClosing()
    {
        rank();
        run("measure-truth");
        const auto before = pointOf(TruthData::Kind::Current), rival = pointOf(TruthData::Kind::Uniform);
        QVERIFY(before && rival);
        const auto sentence = summary();
        const auto path = m_workbench->modelPath();
        m_workbench->closeModel();
        QVERIFY(settled());
        QVERIFY(!plot()->hasData());
        QSignalSpy opened(m_workbench.get(), &Workbench::modelChanged);
        m_workbench->openModel(path);
        QVERIFY(opened.wait(patience) && settled());
        QTRY_VERIFY_WITH_TIMEOUT(pointOf(TruthData::Kind::Current), patience);
        QCOMPARE(pointOf(TruthData::Kind::Current)->measured, before->measured);
        QCOMPARE(pointOf(TruthData::Kind::Current)->standardError, before->standardError);
        QVERIFY(pointOf(TruthData::Kind::Uniform));
        QCOMPARE(pointOf(TruthData::Kind::Uniform)->measured, rival->measured);
        QVERIFY2(summary().startsWith(sentence.section(u'.', 0, 1)), qPrintable(summary()));

        // Another recipe that was never measured has no truth when the model is opened with it.
        const auto measured = m_workbench->recipe();
        m_workbench->setDefaultScheme(Scheme::parse("int4:g32:asym").value());
        m_workbench->closeModel();
        QVERIFY(settled());
        m_workbench->openModel(path);
        QVERIFY(opened.wait(patience) && settled());
        QTest::qWait(600);
        QVERIFY(settled());
        QVERIFY(!pointOf(TruthData::Kind::Current));
        m_workbench->setRecipe(measured, QStringLiteral("back"));
        QTRY_VERIFY_WITH_TIMEOUT(pointOf(TruthData::Kind::Current), patience);
        QCOMPARE(pointOf(TruthData::Kind::Current)->measured, before->measured);
        QTRY_VERIFY_WITH_TIMEOUT(button("search-truth")->isEnabled(), patience);
    }

    void searchesBetterOnesAndAdoptsThem()
    {
        rank();
        const auto bytes = m_workbench->plan().bytes;
        run("search-truth");
        const auto best = pointOf(TruthData::Kind::Best), current = pointOf(TruthData::Kind::Current);
        QVERIFY(best && current);
        QVERIFY(best->measured < current->measured);
        QVERIFY(best->bytes <= double(bytes));
        for (const auto& point : plot()->data().points)
            if (point.kind == TruthData::Kind::Tried) {
                QVERIFY(point.measured >= best->measured);
                QVERIFY(point.bytes <= double(bytes));
            }
        QCOMPARE(plot()->table().rows.size(), qsizetype(plot()->data().points.size()));
        for (const auto mode : {ThemeMode::Light, ThemeMode::Dark}) {
            Theme::instance().setMode(mode);
            QTest::qWait(300);
            tests::saveScreenshot(m_page->grab(),
                QStringLiteral("page_truth_%1")
                    .arg(mode == ThemeMode::Dark ? QStringLiteral("dark") : QStringLiteral("light")));
        }
        Theme::instance().setMode(ThemeMode::Light);
        QVERIFY(button("adopt-truth")->isEnabled());
        const int step = m_workbench->undoStack()->index();
        button("adopt-truth")->click();
        QCOMPARE(double(m_workbench->plan().bytes), best->bytes);
        QCOMPARE(m_workbench->undoStack()->index(), step + 1);
        QVERIFY(!button("adopt-truth")->isEnabled());
        m_workbench->undoStack()->undo();
        QCOMPARE(m_workbench->plan().bytes, bytes);
        QVERIFY(button("adopt-truth")->isEnabled());
    }

    /// Last, since the study learns of one more scheme.
    void aFailedSearchKeepsWhatWasMeasured()
    {
        rank();
        QVERIFY(settled());
        // Smaller than anything on the frontier that is known by now.
        m_workbench->setDefaultScheme(Scheme::parse("int2:channel").value());
        QSignalSpy failed(m_workbench.get(), &Workbench::failed);
        ask("search-truth");
        QCOMPARE(failed.size(), 1);
        const auto point = pointOf(TruthData::Kind::Current);
        QVERIFY(point && std::isfinite(point->measured));
        QCOMPARE(point->bytes, double(m_workbench->plan().bytes));
        QVERIFY(!pointOf(TruthData::Kind::Best));
        QVERIFY2(summary().contains(QStringLiteral("Measured:")), qPrintable(summary()));
    }

    void cleanupTestCase()
    {
        m_page.reset();
        m_workbench.reset();
    }

private:
    bool settled() const
    {
        return QTest::qWaitFor(
            [this] { return !m_workbench->isAnalyzing() && !m_workbench->jobs()->isBusy(); }, patience);
    }
    TruthPlot* plot() const { return m_page->findChild<TruthPlot*>(); }
    QPushButton* button(const char* name) const { return m_page->findChild<QPushButton*>(QString::fromLatin1(name)); }
    QString summary() const { return m_page->findChild<QLabel*>(QStringLiteral("truth"))->text(); }
    std::optional<TruthData::Point> pointOf(TruthData::Kind kind) const
    {
        for (const auto& point : plot()->data().points)
            if (point.kind == kind)
                return point;
        return std::nullopt;
    }

    QString emptyText() const
    {
        const auto* canvas = plot()->findChild<QCustomPlot*>();
        for (int i = 0; i < canvas->itemCount(); ++i)
            if (const auto* text = qobject_cast<QCPItemText*>(canvas->item(i)))
                return text->text().replace(u'\n', u' ');
        return {};
    }

    /// Once for all cases that need predictions.
    void rank()
    {
        if (std::exchange(m_isRanked, true))
            return;
        m_workbench->rankLayers(m_text, tokens);
        QVERIFY(settled());
        const auto* budget = FrontierBudget::of(m_workbench.get());
        QTRY_VERIFY_WITH_TIMEOUT(predictsKl(budget->picture()->metric), patience);
        QTest::qWait(500);  // the picture follows the study's last news after a pause
        QVERIFY(settled());
        QTRY_VERIFY_WITH_TIMEOUT(budget->current() && std::isfinite(budget->current()->error), patience);
    }

    void run(const char* name)
    {
        QSignalSpy failed(m_workbench.get(), &Workbench::failed);
        ask(name);
        QVERIFY2(failed.isEmpty(), qPrintable(failed.value(0).value(1).toString()));
    }

    /// Presses the button, fills in the dialog and waits.
    void ask(const char* name)
    {
        button(name)->click();
        auto* dialog = m_page->findChild<TextDialog*>();
        QVERIFY(dialog);
        dialog->findChild<QLineEdit*>(QStringLiteral("file"))->setText(m_text);
        dialog->findChild<QSpinBox*>(QStringLiteral("tokens"))->setValue(tokens);
        dialog->accept();
        QVERIFY(!button(name)->isEnabled());
        QVERIFY(settled());
        QTRY_VERIFY(button(name)->isEnabled());
        QTRY_VERIFY(!m_page->findChild<TextDialog*>());
    }

    QTemporaryDir m_folder;
    std::unique_ptr<Workbench> m_workbench;
    std::unique_ptr<TradeOffPage> m_page;
    QString m_text;
    bool m_isRanked = false;
};

QTEST_MAIN(TestTruthPanel)
#include "tst_truth_panel.moc"
