// SPDX-License-Identifier: GPL-3.0-or-later
// The pages on which a recipe is decided, driven as a user would, on the bundled sample.
#include "tests/support/sample_workbench.h"
#include "tests/support/screenshots.h"
#include "widgets/dialogs/calibration_dialog.h"
#include "widgets/models/plan_changes_model.h"
#include "widgets/pages/savings_page.h"
#include "widgets/pages/sensitivity_page.h"
#include "widgets/pages/trade_off_page.h"
#include "widgets/plots/memory_stack_plot.h"
#include "widgets/plots/ranking_plot.h"
#include "widgets/plots/sensitivity_map_plot.h"
#include "widgets/plots/study_figures.h"
#include "widgets/plots/trade_off_plot.h"
#include "widgets/support/format_text.h"
#include "widgets/support/qcustomplot.h"
#include "widgets/theme/theme.h"

#include <QCheckBox>
#include <QComboBox>
#include <QDoubleSpinBox>
#include <QLabel>
#include <QMenu>
#include <QSlider>
#include <QSpinBox>
#include <QTableView>
#include <QTableWidget>
#include <QTest>

using namespace quantloupe;

namespace {

QCustomPlot* canvasOf(Plot* plot)
{
    return plot->findChild<QCustomPlot*>();
}

void show(QWidget& page)
{
    page.resize(1080, 700);
    page.show();
    QVERIFY(QTest::qWaitForWindowExposed(&page));
    QTest::qWait(60);
}

}  // namespace

class DecisionPagesTest : public QObject
{
    Q_OBJECT
private:
    tests::SampleWorkbench m_sample;
    Workbench* m_workbench = nullptr;

    template<class Page>
    void photograph(const char* name)
    {
        for (const ThemeMode mode : {ThemeMode::Light, ThemeMode::Dark}) {
            Theme::instance().setMode(mode);
            Page page(m_workbench);
            show(page);
            QTest::qWait(500);
            tests::saveScreenshot(page.grab(),
                QStringLiteral("page_%1_%2")
                    .arg(QLatin1String(name),
                        mode == ThemeMode::Dark ? QStringLiteral("dark") : QStringLiteral("light")));
        }
        Theme::instance().setMode(ThemeMode::Light);
    }

private Q_SLOTS:
    void initTestCase()
    {
        Theme::instance().setMode(ThemeMode::Light);
        QVERIFY(m_sample.open());
        m_workbench = m_sample.workbench.get();
        QVERIFY(m_sample.sweep({"int2:g32", "int3:g32", "int4:g32", "int4:g128", "int6:g64", "int8"}));
    }
    void cleanupTestCase() { m_sample.workbench.reset(); }

    void pagesWithoutAModel()
    {
        Workbench empty;
        SensitivityPage sensitivity(&empty);
        TradeOffPage tradeOff(&empty);
        SavingsPage savings(&empty);
        for (QWidget* page : std::initializer_list<QWidget*> {&sensitivity, &tradeOff, &savings}) {
            show(*page);
            for (Plot* plot : page->findChildren<Plot*>())
                QVERIFY(!plot->hasData());
        }
        QVERIFY(!tradeOff.findChild<QSlider*>(QStringLiteral("budget"))->isEnabled());
    }

    void clickInTheMapSelects()
    {
        SensitivityPage page(m_workbench);
        show(page);
        auto* map = page.findChild<SensitivityMapPlot*>();
        QVERIFY(map->hasData());
        const SensitivityMapData& data = map->data();
        const int row = static_cast<int>(data.rows.size()) / 2;
        QTest::mouseClick(canvasOf(map), Qt::LeftButton, {}, map->cellCenter(row, 1).toPoint());
        QCOMPARE(m_workbench->selection(), QStringList {data.rows[static_cast<std::size_t>(row)].tensor});
        // Control adds, and takes away again.
        QTest::mouseClick(canvasOf(map), Qt::LeftButton, Qt::ControlModifier, map->cellCenter(0, 1).toPoint());
        QCOMPARE(m_workbench->selection().size(), 2);
        QTest::mouseClick(canvasOf(map), Qt::LeftButton, Qt::ControlModifier, map->cellCenter(0, 1).toPoint());
        QCOMPARE(m_workbench->selection().size(), 1);
    }

    void useThisSchemeFromTheMap()
    {
        SensitivityPage page(m_workbench);
        show(page);
        auto* map = page.findChild<SensitivityMapPlot*>();
        const int row = 1;
        const int column = static_cast<int>(map->data().schemes.indexOf(QStringLiteral("int8")));
        QVERIFY(column >= 0);
        const QString tensor = map->data().rows[row].tensor;
        const QPoint position = map->cellCenter(row, column).toPoint();
        QTest::mousePress(canvasOf(map), Qt::RightButton, {}, position);
        QContextMenuEvent event(QContextMenuEvent::Mouse, position, canvasOf(map)->mapToGlobal(position));
        QCoreApplication::sendEvent(canvasOf(map), &event);
        auto* menu = map->findChild<QMenu*>();
        QVERIFY(menu && !menu->actions().isEmpty());
        QVERIFY(menu->actions().first()->text().contains(QStringLiteral("int8")));
        const int before = m_workbench->undoStack()->index();
        menu->actions().first()->trigger();
        menu->close();
        QCOMPARE(m_workbench->schemeOf(tensor)->toString(), std::string("int8"));
        QCOMPARE(map->data().rows[row].chosen, column);
        QCOMPARE(m_workbench->undoStack()->index(), before + 1);
        m_workbench->undoStack()->undo();
    }

    void metricAndOrderChangeTheMap()
    {
        SensitivityPage page(m_workbench);
        show(page);
        auto* map = page.findChild<SensitivityMapPlot*>();
        const auto first = map->data().rows.front().values;
        auto* metric = page.findChild<QComboBox*>(QStringLiteral("metric"));
        metric->setCurrentIndex(metric->findData(int(ErrorMetric::RelativeError)));
        QCOMPARE(map->data().metric, ErrorMetric::RelativeError);
        // The two metrics say the same of one cell.
        QVERIFY(std::abs(-10.0 * std::log10(map->data().rows.front().values[0]) - first[0]) < 1e-9);
        auto* order = page.findChild<QComboBox*>(QStringLiteral("order"));
        order->setCurrentIndex(order->findData(int(figures::RowOrder::Role)));
        const auto& rows = map->data().rows;
        QSet<QString> finished;
        for (std::size_t i = 1; i < rows.size(); ++i) {
            if (rows[i].group != rows[i - 1].group) {
                finished << rows[i - 1].group;
                QVERIFY(!finished.contains(rows[i].group));
            }
        }
    }

    /// What nobody measured yet is listed, off, with what would make it known.
    void metricsThatAreNotKnownAreOff()
    {
        SensitivityPage page(m_workbench);
        show(page);
        auto* metric = page.findChild<QComboBox*>(QStringLiteral("metric"));
        QCOMPARE(metric->count(), int(allErrorMetrics().size()));
        const auto known = knownMetrics(*m_workbench->study());
        for (const auto one : allErrorMetrics()) {
            const int row = metric->findData(int(one));
            const bool isKnown = std::find(known.begin(), known.end(), one) != known.end();
            QCOMPARE(bool(metric->model()->flags(metric->model()->index(row, 0)) & Qt::ItemIsEnabled), isKnown);
            QCOMPARE(metric->itemData(row, Qt::ToolTipRole).toString().startsWith(QStringLiteral("Not known yet")),
                !isKnown);
        }
        const auto reason = metric->itemData(metric->findData(int(ErrorMetric::Kfac)), Qt::ToolTipRole).toString();
        QVERIFY2(reason.contains(QStringLiteral("gradients")), qPrintable(reason));
    }

    void calibrationAsksForGradients()
    {
        CalibrationDialog dialog(m_workbench->catalog(), QString(), 4096);
        QVERIFY(!dialog.gradients());
        const auto* estimate = dialog.findChild<QLabel*>(QStringLiteral("estimate"));
        const auto bytesOf = [&](bool fisher) { return format::bytes(gradientBytes(m_workbench->catalog(), fisher)); };
        dialog.findChild<QCheckBox*>(QStringLiteral("gradients"))->setChecked(true);
        QVERIFY2(estimate->text().contains(bytesOf(true)), qPrintable(estimate->text()));
        dialog.findChild<QSpinBox*>(QStringLiteral("gradientTokens"))->setValue(1000);
        dialog.findChild<QCheckBox*>(QStringLiteral("fisher"))->setChecked(false);
        QVERIFY2(estimate->text().contains(bytesOf(false)), qPrintable(estimate->text()));
        QVERIFY(bytesOf(false) != bytesOf(true));
        QCOMPARE(dialog.gradients()->tokens, std::size_t(1000));
        QVERIFY(!dialog.gradients()->fisher);
        show(dialog);
        tests::saveScreenshot(dialog.grab(), QStringLiteral("dialog_calibration"));
    }

    void budgetSliderRewritesTheRecipeAsOneStep()
    {
        TradeOffPage page(m_workbench);
        show(page);
        auto* slider = page.findChild<QSlider*>(QStringLiteral("budget"));
        QTRY_VERIFY_WITH_TIMEOUT(slider->isEnabled(), 20000);
        auto* spin = page.findChild<QDoubleSpinBox*>(QStringLiteral("budgetValue"));
        const Recipe before = m_workbench->recipe();
        const int index = m_workbench->undoStack()->index();
        slider->setSliderDown(true);
        for (const int position : {900, 700, 500, 300}) {
            slider->setSliderPosition(position);
            QTest::qWait(60);
        }
        QTRY_VERIFY(m_workbench->recipe() != before);
        QTest::qWait(300);
        slider->setSliderDown(false);
        QCOMPARE(m_workbench->undoStack()->index(), index + 1);
        // The figure beside the slider is the recipe's own.
        QTRY_VERIFY(
            std::abs(spin->value() - m_workbench->plan().bitsPerWeight) < 0.51 * std::pow(10.0, -spin->decimals()));
        auto* changes = page.findChild<QTableView*>(QStringLiteral("changes"));
        QVERIFY(changes->model()->rowCount() > 0);
        m_workbench->undoStack()->undo();
        QCOMPARE(m_workbench->recipe(), before);
    }

    void spinBoxIsABudget()
    {
        TradeOffPage page(m_workbench);
        show(page);
        auto* slider = page.findChild<QSlider*>(QStringLiteral("budget"));
        QTRY_VERIFY_WITH_TIMEOUT(slider->isEnabled(), 20000);
        auto* spin = page.findChild<QDoubleSpinBox*>(QStringLiteral("budgetValue"));
        const double wanted = 0.5 * (spin->minimum() + std::min(spin->maximum(), 8.0));
        const Recipe before = m_workbench->recipe();
        spin->setValue(wanted);
        QTRY_VERIFY(m_workbench->recipe() != before);
        QVERIFY(m_workbench->plan().bitsPerWeight <= wanted + std::pow(10.0, -spin->decimals()));
        QVERIFY(m_workbench->plan().bitsPerWeight > 0.6 * wanted);
        m_workbench->undoStack()->undo();
    }

    /// What needs a device or predictions is off until they are there, and says so.
    void budgetsThatAreNotKnownAreOff()
    {
        TradeOffPage page(m_workbench);
        show(page);
        QTRY_VERIFY_WITH_TIMEOUT(page.findChild<QSlider*>(QStringLiteral("budget"))->isEnabled(), 20000);
        auto* unit = page.findChild<QComboBox*>(QStringLiteral("budgetUnit"));
        const auto flags = [&](const QString& text) {
            return unit->model()->flags(unit->model()->index(unit->findText(text), 0)) & Qt::ItemIsEnabled;
        };
        const auto reason = [&](const QString& text) {
            return unit->itemData(unit->findText(text), Qt::ToolTipRole).toString();
        };
        for (const auto* text : {"MiB on the device", "GiB on the device", "ms per token"}) {
            QVERIFY(!flags(QLatin1String(text)));
            QVERIFY(reason(QLatin1String(text)).contains(QStringLiteral("Choose a device")));
        }
        QVERIFY(!flags(QStringLiteral("nats of KL, at most")));
        QVERIFY(reason(QStringLiteral("nats of KL, at most")).contains(QStringLiteral("Rank layers")));
        page.findChild<QComboBox*>(QStringLiteral("device"))->setCurrentIndex(1);
        QVERIFY(flags(QStringLiteral("ms per token")));
        QVERIFY(!flags(QStringLiteral("nats of KL, at most")));
        // Without a device again, so is what needs one.
        unit->setCurrentIndex(unit->findText(QStringLiteral("ms per token")));
        page.findChild<QComboBox*>(QStringLiteral("device"))->setCurrentIndex(0);
        QCOMPARE(unit->currentIndex(), 0);
    }

    void budgetsOfADevice_data()
    {
        QTest::addColumn<QString>("unit");
        QTest::newRow("time") << QStringLiteral("ms per token");
        QTest::newRow("memory") << QStringLiteral("MiB on the device");
    }

    void budgetsOfADevice()
    {
        QFETCH(const QString, unit);
        TradeOffPage page(m_workbench);
        show(page);
        auto* slider = page.findChild<QSlider*>(QStringLiteral("budget"));
        auto* spin = page.findChild<QDoubleSpinBox*>(QStringLiteral("budgetValue"));
        auto* units = page.findChild<QComboBox*>(QStringLiteral("budgetUnit"));
        QTRY_VERIFY_WITH_TIMEOUT(slider->isEnabled(), 20000);
        page.findChild<QComboBox*>(QStringLiteral("device"))->setCurrentIndex(1);
        page.findChild<QSpinBox*>(QStringLiteral("deviceContext"))->setValue(64);
        units->setCurrentIndex(units->findText(unit));
        QTRY_VERIFY_WITH_TIMEOUT(slider->isEnabled(), 20000);
        QTRY_VERIFY(!m_workbench->jobs()->isActive(QStringLiteral("trade-off/budget")));
        const Recipe before = m_workbench->recipe();
        const int index = m_workbench->undoStack()->index();
        const double wanted = spin->minimum() + 0.2 * (spin->maximum() - spin->minimum());
        spin->setValue(wanted);
        QTRY_VERIFY(m_workbench->recipe() != before);
        QCOMPARE(m_workbench->undoStack()->index(), index + 1);
        // By the projection of the Savings page.
        const auto& device = m_workbench->devices().front();
        const auto projection = project(m_workbench->catalog(), m_workbench->plan(), device,
            workloadUnder(m_workbench->recipe(), m_workbench->catalog(), {.context = 64}));
        const double spent = unit.startsWith(QStringLiteral("ms")) ? 1e3 / projection.decodeTokensPerSecond
                                                                   : double(projection.totalBytes()) / 1048576.0;
        const double rounding = 0.51 * std::pow(10.0, -spin->decimals());
        QVERIFY2(spent <= wanted + rounding, qPrintable(QStringLiteral("%1 of %2").arg(spent).arg(wanted)));
        QVERIFY2(spent >= 0.7 * wanted, qPrintable(QStringLiteral("%1 of %2").arg(spent).arg(wanted)));
        QTRY_VERIFY(page.findChild<QLabel*>(QStringLiteral("projected"))->text().contains(QStringLiteral("Projected")));
        QVERIFY(slider->isEnabled() && spin->isEnabled());
        tests::saveScreenshot(page.grab(), QStringLiteral("page_trade_off_device_") + unit.left(2));
        m_workbench->undoStack()->undo();
        QCOMPARE(m_workbench->recipe(), before);
    }

    void clickOnAPointAdoptsIt()
    {
        TradeOffPage page(m_workbench);
        show(page);
        auto* plot = page.findChild<TradeOffPlot*>();
        QTRY_VERIFY_WITH_TIMEOUT(plot->hasData(), 20000);
        QTest::qWait(100);
        const auto place = std::find_if(plot->data().uniform.begin(), plot->data().uniform.end(),
            [](const auto& point) { return point.label == QStringLiteral("int3:g32"); });
        QVERIFY(place != plot->data().uniform.end());
        const double bytes = place->bytes;
        QTest::mouseClick(canvasOf(plot), Qt::LeftButton, {}, plot->pixelOf(*place).toPoint());
        QTRY_COMPARE(m_workbench->recipe().defaultPlan.weights.toString(), std::string("int3:g32"));
        QCOMPARE(double(m_workbench->plan().bytes), bytes);
        QTRY_COMPARE(plot->data().current->bytes, bytes);
        m_workbench->undoStack()->undo();
    }

    void draggingTheRingMovesTheBudget()
    {
        TradeOffPage page(m_workbench);
        show(page);
        auto* plot = page.findChild<TradeOffPlot*>();
        QTRY_VERIFY_WITH_TIMEOUT(plot->hasData() && plot->data().current.has_value(), 20000);
        QTest::qWait(100);
        const int index = m_workbench->undoStack()->index();
        const auto before = m_workbench->plan().bytes;
        const QPoint from = plot->pixelOf(*plot->data().current).toPoint();
        const auto range = canvasOf(plot)->xAxis->range();
        QTest::mousePress(canvasOf(plot), Qt::LeftButton, {}, from);
        for (const int step : {20, 60, 120, 160}) {
            const QPoint to = from + QPoint(step, -step / 8);
            QMouseEvent move(
                QEvent::MouseMove, to, canvasOf(plot)->mapToGlobal(to), Qt::NoButton, Qt::LeftButton, Qt::NoModifier);
            QCoreApplication::sendEvent(canvasOf(plot), &move);
            QTest::qWait(50);
        }
        QTest::mouseRelease(canvasOf(plot), Qt::LeftButton, {}, from + QPoint(160, -20));
        QTRY_VERIFY(m_workbench->plan().bytes > before);
        QTest::qWait(300);
        // One step to undo, and the picture has not been panned.
        QCOMPARE(m_workbench->undoStack()->index(), index + 1);
        QCOMPARE(canvasOf(plot)->xAxis->range(), range);
        m_workbench->undoStack()->undo();
        QCOMPARE(m_workbench->plan().bytes, before);
    }

    void savingsFollowTheControls()
    {
        SavingsPage page(m_workbench);
        show(page);
        auto* table = page.findChild<QTableWidget*>(QStringLiteral("figures"));
        QCOMPARE(table->rowCount(), 10);
        QVERIFY(!m_workbench->devices().empty());
        page.findChild<QSpinBox*>(QStringLiteral("context"))->setValue(1000);
        auto* keyValue = page.findChild<QComboBox*>(QStringLiteral("keyValue"));
        keyValue->setCurrentIndex(keyValue->findData(4.5));
        QCOMPARE(page.workload().context, std::uint64_t {1000});
        const auto& device = m_workbench->devices().front();
        const Projection recipe = project(m_workbench->catalog(), m_workbench->plan(), device, page.workload());
        const Projection base =
            project(m_workbench->catalog(), unquantizedPlan(m_workbench->catalog()), device, {1000, 1, 16.0});
        QCOMPARE(table->item(0, 1)->text(), format::bytes(m_workbench->catalog().bytes()));
        QCOMPARE(table->item(0, 2)->text(), format::bytes(m_workbench->plan().bytes));
        QCOMPARE(table->item(1, 1)->text(), format::bytes(base.keyValueBytes));
        QCOMPARE(table->item(1, 2)->text(), format::bytes(recipe.keyValueBytes));
        const double decode = recipe.decodeTokensPerSecond;
        QCOMPARE(table->item(6, 2)->text(), decode < 1e5 ? format::number(decode, 4) : format::si(decode, QString()));
        // 4.5 of 16 bits.
        QVERIFY(std::abs(double(recipe.keyValueBytes) / double(base.keyValueBytes) - 4.5 / 16.0) < 0.01);
        QVERIFY(page.findChild<QLabel*>(QStringLiteral("verdict"))->text().contains(QStringLiteral("projected")));
        QVERIFY(page.findChild<QTableWidget*>(QStringLiteral("sources"))->rowCount() > 6);
        for (int row = 0; row < page.findChild<QTableWidget*>(QStringLiteral("sources"))->rowCount(); ++row)
            QVERIFY(!page.findChild<QTableWidget*>(QStringLiteral("sources"))->item(row, 2)->text().isEmpty());
    }

    void pictures()
    {
        // A mixed recipe, so that the pages have something to tell.
        const Recipe before = m_workbench->recipe();
        {
            TradeOffPage page(m_workbench);
            show(page);
            auto* slider = page.findChild<QSlider*>(QStringLiteral("budget"));
            QTRY_VERIFY_WITH_TIMEOUT(slider->isEnabled(), 20000);
            slider->setValue(350);
            QTRY_VERIFY(m_workbench->recipe() != before);
            QTest::qWait(400);
            tests::saveScreenshot(page.grab(), QStringLiteral("page_trade_off_after_drag"));
        }
        m_workbench->select({QString::fromStdString(m_workbench->catalog().tensors[5].name)});
        photograph<SensitivityPage>("sensitivity");
        photograph<TradeOffPage>("trade_off");
        photograph<SavingsPage>("savings");
    }
};

QTEST_MAIN(DecisionPagesTest)
#include "tst_decision_pages.moc"
