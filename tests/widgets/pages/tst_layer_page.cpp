// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/widgets/pages/plain_sqnr.h"
#include "tests/widgets/pages/small_model.h"
#include "widgets/docks/scheme_editor.h"
#include "widgets/pages/layer_inspector.h"
#include "widgets/pages/layer_page.h"
#include "widgets/pages/metrics_table.h"
#include "widgets/plots/channel_plot.h"
#include "widgets/plots/error_histogram_plot.h"
#include "widgets/plots/histogram_plot.h"
#include "widgets/plots/occupancy_plot.h"
#include "widgets/plots/small_multiples_plot.h"
#include "widgets/plots/survival_plot.h"
#include "widgets/plots/weight_map_plot.h"
#include "widgets/support/qcustomplot.h"
#include "widgets/theme/theme.h"

#include <QCheckBox>
#include <QComboBox>
#include <QDir>
#include <QElapsedTimer>
#include <QLabel>
#include <QPushButton>
#include <QScrollArea>
#include <QTest>
#include <QToolButton>

#include <cmath>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

const QString down = QStringLiteral("model.layers.1.mlp.down_proj.weight");
const QString query = QStringLiteral("model.layers.0.self_attn.q_proj.weight");

Scheme scheme(const char* text)
{
    return Scheme::parse(text).value();
}

void wear(ThemeMode mode)
{
    Theme::instance().setMode(mode);
    QCoreApplication::processEvents();
}

/// What the metrics table says; column 1 as stored, 2 now, 3 difference.
QString figure(const LayerPage& page, const char* name, int column)
{
    const auto* table = page.findChild<MetricsTable*>();
    for (int row = 0; row < table->rowCount(); ++row)
        if (table->item(row, 0)->text() == QLatin1String(name))
            return QString(table->item(row, column)->text()).replace(QChar(0x00a0), u' ');
    return {};
}

struct Opened {
    QTemporaryDir folder;
    std::unique_ptr<Workbench> workbench;
    std::unique_ptr<LayerPage> page;
};

/// A page on a small model, with a tensor selected under int4:g32.
std::unique_ptr<Opened> openedPage(const QString& tensor = down, std::uint64_t width = 64)
{
    auto opened = std::make_unique<Opened>();
    opened->workbench = openedWorkbench(opened->folder, llamaTensors(3, width));
    if (!opened->workbench)
        return nullptr;
    opened->workbench->setDefaultScheme(scheme("int4:g32"));
    opened->page = std::make_unique<LayerPage>(opened->workbench.get());
    opened->page->resize(1000, 760);
    opened->page->show();
    if (!tensor.isEmpty())
        opened->workbench->select({tensor});
    return QTest::qWaitForWindowExposed(opened->page.get()) ? std::move(opened) : nullptr;
}

/// Chooses an entry as a hand does.
void choose(QComboBox* combo, const QString& text)
{
    const int index = combo->findText(text);
    QVERIFY2(index >= 0, qPrintable(text));
    combo->setCurrentIndex(index);
    Q_EMIT combo->activated(index);
}

}  // namespace

class TestLayerPage : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void initTestCase() { QLocale::setDefault(QLocale::c()); }
    void init() { wear(ThemeMode::Light); }

    void saysWhatToDoWithoutASelection()
    {
        const auto opened = openedPage({});
        QVERIFY(opened);
        QVERIFY(!opened->page->findChild<SchemeEditor*>()->isVisible());
        QString texts;
        for (const auto* label : opened->page->findChildren<QLabel*>())
            texts += label->isVisible() ? label->text() : QString();
        QVERIFY(texts.startsWith(QStringLiteral("Select a layer")));
    }

    void fillsEveryPlot()
    {
        const auto opened = openedPage();
        QVERIFY(opened);
        for (auto* plot : std::initializer_list<Plot*> {opened->page->findChild<HistogramPlot*>(),
                 opened->page->findChild<ErrorHistogramPlot*>(), opened->page->findChild<SurvivalPlot*>(),
                 opened->page->findChild<ChannelPlot*>(), opened->page->findChild<OccupancyPlot*>(),
                 opened->page->findChild<WeightMapPlot*>()})
            QTRY_VERIFY2_WITH_TIMEOUT(plot->hasData(), qPrintable(plot->title()), 10000);
    }

    /// The figures on the page are those of an independent computation.
    void editingIsLive_data()
    {
        QTest::addColumn<QString>("format");
        QTest::addColumn<QString>("granularity");
        QTest::addColumn<int>("bits");
        QTest::addColumn<int>("group");
        QTest::newRow("int4, groups of 32") << "int4"
                                            << "group 32" << 4 << 32;
        QTest::newRow("int3, groups of 16") << "int3"
                                            << "group 16" << 3 << 16;
        QTest::newRow("int8 per channel") << "int8"
                                          << "per channel" << 8 << 1000000;
    }
    void editingIsLive()
    {
        QFETCH(const QString, format);
        QFETCH(const QString, granularity);
        QFETCH(const int, bits);
        QFETCH(const int, group);
        const auto opened = openedPage();
        QVERIFY(opened);
        auto* editor = opened->page->findChild<SchemeEditor*>();
        choose(editor->findChild<QComboBox*>(QStringLiteral("format")), format);
        choose(editor->findChild<QComboBox*>(QStringLiteral("granularity")), granularity);
        QCOMPARE(opened->workbench->schemeOf(down), editor->scheme());
        const double expected = expectedSqnr(*opened->workbench, down, bits, static_cast<std::size_t>(group));
        QTRY_COMPARE_WITH_TIMEOUT(
            figure(*opened->page, "SQNR", 2), QLocale::c().toString(expected, 'f', 2) + QStringLiteral(" dB"), 10000);
        // Undone elsewhere, the edit is undone here.
        while (opened->workbench->undoStack()->canUndo())
            opened->workbench->undoStack()->undo();
        QCOMPARE(editor->scheme(), opened->workbench->schemeOf(down));
    }

    void newestSchemeWins()
    {
        const auto opened = openedPage(down, 256);
        QVERIFY(opened);
        for (const auto* text : {"int2:g32", "int3:g32", "int4:g64", "int8:channel", "int5:g128", "int6:g32"})
            opened->workbench->setScheme({down}, scheme(text));
        const auto expected = expectedSqnr(*opened->workbench, down, 6, 32);
        QTRY_COMPARE_WITH_TIMEOUT(
            figure(*opened->page, "SQNR", 2), QLocale::c().toString(expected, 'f', 2) + QStringLiteral(" dB"), 10000);
        QTest::qWait(100);
        QCOMPARE(figure(*opened->page, "SQNR", 2), QLocale::c().toString(expected, 'f', 2) + QStringLiteral(" dB"));
    }

    /// A slow scheme shows a preview, marked as such, and then the exact figures; never the other way round.
    void previewComesBeforeASlowResult()
    {
        QTemporaryDir folder;
        const auto workbench = openedWorkbench(folder, {{down, {1024, 2048}}});
        QVERIFY(workbench);
        workbench->setDefaultScheme(scheme("int8"));
        LayerPage page(workbench.get());
        page.resize(1000, 760);
        page.show();
        workbench->select({down});
        auto* inspector = page.findChild<LayerInspector*>();
        QTRY_VERIFY_WITH_TIMEOUT(inspector->find(scheme("int8")), 10000);

        QStringList seen;
        const auto header = [&] { return page.findChild<MetricsTable*>()->horizontalHeaderItem(2)->text(); };
        connect(inspector, &LayerInspector::previewed, &page, [&] { seen << header(); });
        connect(inspector, &LayerInspector::inspected, &page, [&] { seen << header(); });
        workbench->setScheme({down}, scheme("lut4"));
        QTRY_VERIFY_WITH_TIMEOUT(inspector->find(scheme("lut4")), 60000);
        QTest::qWait(100);
        QCOMPARE(seen, (QStringList {QStringLiteral("Preview: lut4"), QStringLiteral("lut4")}));
        // Known by now: nothing to bridge.
        seen.clear();
        workbench->undoStack()->undo();
        workbench->undoStack()->redo();
        QTest::qWait(100);
        QCOMPARE(seen, (QStringList {QStringLiteral("int8"), QStringLiteral("lut4")}));
    }

    void noLevelTicksWhereWeightsLieBesideThem()
    {
        const auto opened = openedPage();
        QVERIFY(opened);
        auto* inspector = opened->page->findChild<LayerInspector*>();
        auto* canvas = opened->page->findChild<HistogramPlot*>()->findChild<QCustomPlot*>();
        const auto ticks = [&](const char* text) {
            opened->workbench->setScheme({down}, scheme(text));
            [&] { QTRY_VERIFY_WITH_TIMEOUT(inspector->find(scheme(text)), 10000); }();
            QTest::qWait(50);
            canvas->replot();
            return canvas->xAxis2->tickVector().size();
        };
        QVERIFY(ticks("int3:g32") > 0);
        QCOMPARE(ticks("int3:g32+hadamard"), 0);
        QCOMPARE(ticks("int3:g32+biascorr"), 0);
        QVERIFY(ticks("q4_0") > 0);
    }

    void keepLeavesTheTensorAsStored()
    {
        const auto opened = openedPage();
        QVERIFY(opened);
        auto* errors = opened->page->findChild<ErrorHistogramPlot*>();
        QTRY_VERIFY(errors->hasData());
        auto* keep = opened->page->findChild<QCheckBox*>();
        QVERIFY(!keep->isChecked());
        keep->click();
        QCOMPARE(opened->workbench->schemeOf(down), std::nullopt);
        QTRY_VERIFY(!errors->hasData());
        QVERIFY(opened->page->findChild<HistogramPlot*>()->hasData());
        keep->click();
        QCOMPARE(opened->workbench->schemeOf(down), scheme("int4:g32"));
        QTRY_VERIFY(errors->hasData());
    }

    void normsCannotBeEdited()
    {
        const auto opened = openedPage(QStringLiteral("model.norm.weight"));
        QVERIFY(opened);
        QTRY_VERIFY(opened->page->findChild<HistogramPlot*>()->hasData());
        QVERIFY(!opened->page->findChild<SchemeEditor*>()->isEnabled());
        QVERIFY(!opened->page->findChild<QCheckBox*>()->isEnabled());
    }

    void pinsUpToFour()
    {
        const auto opened = openedPage();
        QVERIFY(opened);
        auto& page = *opened->page;
        QPushButton* pin = nullptr;
        for (auto* button : page.findChildren<QPushButton*>())
            if (button->text() == QStringLiteral("&Pin"))
                pin = button;
        QVERIFY(pin);
        for (const auto* text : {"int3:g32", "int4:g32", "int5:g32", "int6:g32"}) {
            opened->workbench->setScheme({down}, scheme(text));
            QTRY_VERIFY(pin->isEnabled());
            pin->click();
            QVERIFY(!pin->isEnabled());
        }
        QCOMPARE(page.pinned().size(), LayerPage::mostPinned);
        opened->workbench->setScheme({down}, scheme("int8"));
        // Four pinned, one current, one as stored: seven columns with the two ends of a bin.
        QTRY_COMPARE(page.findChild<HistogramPlot*>()->table().header.size(), 8);
        QVERIFY(!pin->isEnabled());
        const double difference =
            expectedSqnr(*opened->workbench, down, 8, 1000000) - expectedSqnr(*opened->workbench, down, 6, 32);
        const auto text = (difference > 0 ? QStringLiteral("+") : QString())
            + QLocale::c().toString(difference, 'f', 2).replace(u'-', QChar(0x2212)) + QStringLiteral(" dB");
        QTRY_COMPARE(figure(page, "SQNR", 3), text);

        // Pinned schemes stay when another tensor is selected, and are computed for it.
        opened->workbench->select({query});
        QTRY_COMPARE(page.findChild<HistogramPlot*>()->table().header.size(), 8);
        QList<QToolButton*> chips;
        for (auto* button : page.findChildren<QToolButton*>())
            if (button->text().contains(u'×'))
                chips << button;
        QCOMPARE(chips.size(), 4);
        chips.first()->click();
        QCOMPARE(page.pinned().size(), std::size_t(3));
        QCOMPARE(page.pinned().front(), scheme("int4:g32"));
    }

    void mapSwitchesQuantityAndRefinesOnZoom()
    {
        const auto opened = openedPage(down, 640);
        QVERIFY(opened);
        auto* map = opened->page->findChild<WeightMapPlot*>();
        QTRY_VERIFY_WITH_TIMEOUT(map->hasData(), 10000);
        auto* quantity = qobject_cast<QComboBox*>(opened->page->findChildren<QComboBox*>().at(0));
        for (auto* combo : opened->page->findChildren<QComboBox*>())
            if (combo->findText(QStringLiteral("Codes")) >= 0)
                quantity = combo;
        quantity->setCurrentIndex(quantity->findText(QStringLiteral("Codes")));
        const auto onlyCodes = [map] {
            for (const auto& row : map->table().rows)
                if (const double code = row[2].toDouble(); std::abs(code) > 15.0 || code != std::floor(code))
                    return false;
            return true;
        };
        QTRY_VERIFY_WITH_TIMEOUT(onlyCodes(), 10000);
        // Zoomed far in, cells are single weights.
        quantity->setCurrentIndex(quantity->findText(QStringLiteral("Weights")));
        auto* canvas = map->findChild<QCustomPlot*>();
        canvas->xAxis->setRange(99.5, 119.5);
        canvas->yAxis->setRange(49.5, 59.5);
        QTRY_COMPARE_WITH_TIMEOUT(map->table().rows.size(), 200, 10000);
        const auto& tensor = opened->workbench->model()->tensors[*opened->workbench->model()->find(down.toStdString())];
        std::vector<float> row(1280);
        decodeRows(tensor.view, 50, 1, row);
        for (int i = 0; i < 20; ++i)
            QCOMPARE(map->table().rows[i][2].toDouble(), static_cast<double>(row[static_cast<std::size_t>(100 + i)]));
    }

    void channelsShowWhichSideAndWhat()
    {
        const auto opened = openedPage();
        QVERIFY(opened);
        auto* channels = opened->page->findChild<ChannelPlot*>();
        QTRY_VERIFY(channels->hasData());
        QCOMPARE(channels->table().rows.size(), 128);
        // The generator makes input channel 3 stick out.
        QVERIFY(!channels->table().rows[3][2].toString().isEmpty());
        for (auto* combo : opened->page->findChildren<QComboBox*>())
            if (combo->findText(QStringLiteral("Output")) >= 0)
                combo->setCurrentIndex(1);
        QCOMPARE(channels->table().rows.size(), 64);
    }

    void clickedChannelIsShownInTheMap()
    {
        const auto opened = openedPage();
        QVERIFY(opened);
        auto* map = opened->page->findChild<WeightMapPlot*>();
        auto* channels = opened->page->findChild<ChannelPlot*>();
        QTRY_VERIFY_WITH_TIMEOUT(map->hasData() && channels->hasData(), 10000);
        const auto whole = map->view();
        Q_EMIT channels->channelClicked(false, 40);
        QCOMPARE(map->view().firstColumn, quint64(32));
        QCOMPARE(map->view().columns, quint64(17));
        QCOMPARE(map->view().rows, whole.rows);
        // Real weights come, not those pooled before: each cell is one column.
        QTRY_VERIFY_WITH_TIMEOUT(!map->table().rows.isEmpty() && map->table().rows.first()[1].toInt() == 32, 10000);
        // Next to an edge as far as there is something.
        Q_EMIT channels->channelClicked(true, 1);
        QCOMPARE(map->view().firstRow, quint64(0));
        QVERIFY(map->view().rows >= 10 && map->view().rows <= 18);
        QCOMPARE(map->view().columns, whole.columns);
        Q_EMIT channels->channelClicked(true, 1'000'000);  // there is none
        QCOMPARE(map->view().columns, whole.columns);
    }

    void smallMultiplesChooseAScheme()
    {
        const auto opened = openedPage();
        QVERIFY(opened);
        opened->workbench->setSweep({scheme("int8"), scheme("int3:g32")});
        opened->workbench->analyze();
        auto* panels = opened->page->findChild<SmallMultiplesPlot*>();
        QTRY_COMPARE_WITH_TIMEOUT(panels->table().rows.size(), 2, 20000);
        QCOMPARE(panels->table().rows[0][0].toString(), QStringLiteral("int3:g32"));
        Q_EMIT panels->schemeClicked(QStringLiteral("int3:g32"));
        QCOMPARE(opened->workbench->schemeOf(down), scheme("int3:g32"));
    }

    void multipleSelectionIsEditedAsOne()
    {
        const auto opened = openedPage();
        QVERIFY(opened);
        opened->workbench->select({query, QStringLiteral("model.norm.weight"), down});
        auto* editor = opened->page->findChild<SchemeEditor*>();
        Q_EMIT editor->edited(scheme("int6:g64"));
        QCOMPARE(opened->workbench->schemeOf(query), scheme("int6:g64"));
        QCOMPARE(opened->workbench->schemeOf(down), scheme("int6:g64"));
        QCOMPARE(opened->workbench->schemeOf(QStringLiteral("model.norm.weight")), std::nullopt);
    }

    /// Selecting through all layers, as with the arrow keys: nothing blocks, the last one is shown.
    void arrowKeysThroughManyTensors()
    {
        const auto opened = openedPage();
        QVERIFY(opened);
        for (const auto& tensor : opened->workbench->catalog().tensors)
            opened->workbench->select({QString::fromStdString(tensor.name)});
        opened->workbench->select({query});
        const double expected = expectedSqnr(*opened->workbench, query, 4, 32);
        QTRY_COMPARE_WITH_TIMEOUT(
            figure(*opened->page, "SQNR", 2), QLocale::c().toString(expected, 'f', 2) + QStringLiteral(" dB"), 10000);
    }

    void rendersInBothThemes()
    {
        const auto images = qEnvironmentVariable("QUANTLOUPE_SCREENSHOTS");
        const auto opened = openedPage(down, 256);
        QVERIFY(opened);
        auto& page = *opened->page;
        opened->workbench->analyze();
        QTRY_VERIFY_WITH_TIMEOUT(!opened->workbench->isAnalyzing(), 60000);
        QTRY_VERIFY(page.findChild<ErrorHistogramPlot*>()->hasData());
        for (auto* button : page.findChildren<QPushButton*>())
            if (button->text() == QStringLiteral("&Pin"))
                button->click();
        opened->workbench->setScheme({down}, scheme("int3:g64:asym"));
        QTRY_COMPARE(page.findChild<HistogramPlot*>()->table().header.size(), 5);
        QTRY_VERIFY(page.findChild<WeightMapPlot*>()->hasData());
        for (const auto mode : {ThemeMode::Light, ThemeMode::Dark})
            for (const auto& size : {QSize(1000, 760), QSize(700, 600)}) {
                wear(mode);
                page.resize(size);
                QTest::qWait(300);
                const auto image = page.grab().toImage();
                QVERIFY((image.pixelColor(3, 3).lightness() > 128) == (mode == ThemeMode::Light));
                QVERIFY(!image.allGray());
                if (images.isEmpty() || !QDir().mkpath(images))
                    continue;
                const auto suffix =
                    QStringLiteral("%1-%2").arg(mode == ThemeMode::Dark ? "dark" : "light").arg(size.width());
                image.save(QStringLiteral("%1/layer-%2.png").arg(images, suffix));
                page.findChild<QScrollArea*>()->widget()->grab().save(
                    QStringLiteral("%1/layer-whole-%2.png").arg(images, suffix));
            }
    }
};

QTEST_MAIN(TestLayerPage)
#include "tst_layer_page.moc"
