// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/plot.h"
#include "widgets/plots/plot_table_dialog.h"
#include "widgets/plots/tickers.h"
#include "widgets/support/qcustomplot.h"
#include "widgets/theme/theme.h"

#include <QClipboard>
#include <QFile>
#include <QMenu>
#include <QScrollArea>
#include <QSignalSpy>
#include <QSvgRenderer>
#include <QTableView>
#include <QTemporaryDir>
#include <QTest>
#include <QXmlStreamReader>

namespace {

/// Three points, the middle one clickable.
class ThreePoints final : public Plot
{
public:
    ThreePoints()
    {
        setDescription(QStringLiteral("Three points"), QStringLiteral("Points at 1, 2 and 3."));
        canvas()->addGraph();
        canvas()->xAxis->setLabel(QStringLiteral("Place (unit)"));
    }
    void fill()
    {
        canvas()->graph()->setData({1, 2, 3}, {1, 4, 2});
        resetView();
        setHasData(true);
    }
    PlotTable table() const override
    {
        return {{"name", "value (unit)"}, {{"a, \"b\"", 1.5}, {"c\td", 1e-7}, {"e", 3}}};
    }
    QPointF middle() const { return {canvas()->xAxis->coordToPixel(2), canvas()->yAxis->coordToPixel(4)}; }
    QCPRange range() const { return canvas()->xAxis->range(); }
    QCustomPlot* inner() const { return canvas(); }
    int clicks = 0;

protected:
    QString tensorAt(QPointF position) const override
    {
        return (position - middle()).manhattanLength() < 10 ? QStringLiteral("t") : QString();
    }
    void clicked(QPointF) override { ++clicks; }
    void applyTheme() override
    {
        Plot::applyTheme();
        canvas()->graph()->setPen(QPen(theme().accent, 2));
    }
};

/// Qt tells widgets of a new palette by posted events.
void wear(ThemeMode mode)
{
    Theme::instance().setMode(mode);
    QCoreApplication::processEvents();
}

void show(QWidget& widget, QSize size = {400, 260})
{
    widget.resize(size);
    widget.show();
    QVERIFY(QTest::qWaitForWindowExposed(&widget));
    QTest::qWait(20);
}

}  // namespace

class TestPlot : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void init() { wear(ThemeMode::Light); }

    void saysWhyItIsEmpty()
    {
        ThreePoints plot;
        plot.setEmptyText(QStringLiteral("Select a layer"));
        const auto empty = plot.toSvg({400, 260});
        QVERIFY(empty.contains("Select a layer"));
        QVERIFY(!empty.contains("Place (unit)"));
        plot.fill();
        const auto full = plot.toSvg({400, 260});
        QVERIFY(!full.contains("Select a layer"));
        QVERIFY(full.contains("Place (unit)"));
    }

    void followsThePalette()
    {
        ThreePoints plot;
        plot.fill();
        show(plot);
        const auto light = plot.grab().toImage();
        wear(ThemeMode::Dark);
        QTest::qWait(30);
        const auto dark = plot.grab().toImage();
        QVERIFY(light.pixelColor(2, 2).lightness() > 200);
        QVERIFY(dark.pixelColor(2, 2).lightness() < 60);
    }

    void svgIsSelfContainedAndFixed()
    {
        ThreePoints plot;
        plot.fill();
        const auto svg = plot.toSvg({400, 260});
        QXmlStreamReader reader(svg);
        QVERIFY(reader.readNextStartElement());
        QCOMPARE(reader.name(), QStringLiteral("svg"));
        QCOMPARE(reader.attributes().value("viewBox"), QStringLiteral("0 0 400 260"));
        while (!reader.atEnd())
            reader.readNext();
        QVERIFY2(!reader.hasError(), qPrintable(reader.errorString()));
        QVERIFY(!svg.contains("href=\"http"));
        QVERIFY(svg.contains(", sans-serif"));
        QVERIFY(QSvgRenderer(svg).isValid());
    }

    void svgForReportsIsLightAlways()
    {
        wear(ThemeMode::Light);
        ThreePoints plot;
        plot.fill();
        const auto light = plot.toSvg({300, 200});
        wear(ThemeMode::Dark);
        const auto dark = plot.toSvg({300, 200});
        QVERIFY(dark != light);
        QCOMPARE(plot.toSvg({300, 200}, PlotColors::Light), light);
        QCOMPARE(plot.toSvg({300, 200}), dark);
    }

    void savesWhatItShows_data()
    {
        QTest::addColumn<QString>("suffix");
        QTest::addColumn<QByteArray>("start");
        QTest::newRow("svg") << "svg" << QByteArray("<?xml");
        QTest::newRow("pdf") << "pdf" << QByteArray("%PDF");
        QTest::newRow("png") << "png" << QByteArray("\x89PNG");
        QTest::newRow("csv") << "csv"
                             << QByteArray("name,value (unit)\r\n\"a, \"\"b\"\"\",1.5\r\nc\td,1e-07\r\ne,3\r\n");
    }
    void savesWhatItShows()
    {
        QFETCH(const QString, suffix);
        QFETCH(const QByteArray, start);
        ThreePoints plot;
        plot.fill();
        QTemporaryDir folder;
        const auto path = folder.filePath("plot." + suffix);
        QCOMPARE(plot.saveTo(path), QString());
        QFile file(path);
        QVERIFY(file.open(QIODevice::ReadOnly));
        QVERIFY(file.readAll().startsWith(start));
        QVERIFY(!plot.saveTo(folder.filePath("no/such/folder/plot." + suffix)).isEmpty());
    }

    void copiesRowsForSpreadsheets()
    {
        ThreePoints plot;
        plot.fill();
        plot.copyData();
        QCOMPARE(
            QApplication::clipboard()->text(), QStringLiteral("name\tvalue (unit)\na, \"b\"\t1.5\nc d\t1e-07\ne\t3\n"));
    }

    void showsATable()
    {
        ThreePoints plot;
        plot.fill();
        show(plot);
        plot.showTable();
        auto* dialog = plot.findChild<PlotTableDialog*>();
        QVERIFY(dialog);
        auto* view = dialog->findChild<QTableView*>();
        QCOMPARE(view->model()->rowCount(), 3);
        view->sortByColumn(1, Qt::AscendingOrder);
        QCOMPARE(view->model()->index(0, 0).data().toString(), QStringLiteral("c\td"));
    }

    void clicksSelect()
    {
        ThreePoints plot;
        plot.fill();
        show(plot);
        QSignalSpy clicked(&plot, &Plot::tensorClicked);
        QSignalSpy opened(&plot, &Plot::tensorDoubleClicked);
        QTest::mouseClick(plot.inner(), Qt::LeftButton, {}, plot.middle().toPoint());
        QCOMPARE(clicked.value(0).value(0).toString(), QStringLiteral("t"));
        QCOMPARE(plot.clicks, 1);
        QTest::mouseClick(plot.inner(), Qt::LeftButton, {}, plot.middle().toPoint() + QPoint(40, 40));
        QCOMPARE(clicked.count(), 1);
        QTest::mouseDClick(plot.inner(), Qt::LeftButton, {}, plot.middle().toPoint());
        QCOMPARE(opened.value(0).value(0).toString(), QStringLiteral("t"));
    }

    void wheelZoomsAndAxisDoubleClickResets()
    {
        ThreePoints plot;
        plot.fill();
        show(plot);
        const auto before = plot.range();
        const auto middle = plot.inner()->axisRect()->center();
        QWheelEvent wheel(middle, plot.inner()->mapToGlobal(middle), {}, {0, 240}, {}, {}, Qt::NoScrollPhase, false);
        QApplication::sendEvent(plot.inner(), &wheel);
        QVERIFY(plot.range().size() < before.size());
        const QPoint onAxis(middle.x(), plot.inner()->axisRect()->bottom() + 8);
        QTest::mouseDClick(plot.inner(), Qt::LeftButton, {}, onAxis);
        QCOMPARE(plot.range(), before);
    }

    void wheelScrollsAPageUntilThePlotIsClicked()
    {
        QScrollArea page;
        auto* plot = new ThreePoints;
        plot->setMinimumHeight(900);
        plot->fill();
        page.setWidget(plot);
        page.setWidgetResizable(true);
        show(page);
        const auto before = plot->range();
        const auto middle = plot->inner()->axisRect()->center();
        const auto turn = [&] {
            QWheelEvent wheel(
                middle, plot->inner()->mapToGlobal(middle), {}, {0, 240}, {}, {}, Qt::NoScrollPhase, false);
            QApplication::sendEvent(plot->inner(), &wheel);
        };
        page.setFocus();
        turn();
        QCOMPARE(plot->range(), before);
        QTest::mouseClick(plot->inner(), Qt::LeftButton, {}, middle);
        turn();
        QVERIFY(plot->range().size() < before.size());
    }

    void menuOffersEveryAction()
    {
        ThreePoints plot;
        plot.fill();
        show(plot);
        QContextMenuEvent event(QContextMenuEvent::Mouse, {50, 50}, plot.inner()->mapToGlobal(QPoint(50, 50)));
        QApplication::sendEvent(plot.inner(), &event);
        auto* menu = plot.findChild<QMenu*>();
        QVERIFY(menu);
        QCOMPARE(menu->actions().size(), 4);
        menu->close();
    }

    void tickLabels_data()
    {
        QTest::addColumn<int>("kind");
        QTest::addColumn<double>("high");
        QTest::addColumn<QStringList>("expected");
        QTest::newRow("plain") << 0 << 4.0 << QStringList {"0", "1", "2", "3", "4"};
        QTest::newRow("thousands") << 0 << 20000.0 << QStringList {"0", "5k", "10k", "15k", "20k"};
        QTest::newRow("millionths") << 0 << 4e-5 << QStringList {"0", "10µ", "20µ", "30µ", "40µ"};
        QTest::newRow("bytes") << 1 << 4.0 * 1024 * 1024 << QStringList {"0", "1 MiB", "2 MiB", "3 MiB", "4 MiB"};
        QTest::newRow("integers") << 2 << 3.0 << QStringList {"0", "1", "2", "3"};
        QTest::newRow("decades") << 3 << 1e4 << QStringList {"0.01", "0.1", "1", "10", "100", "1k", "10k"};
        QTest::newRow("two decades") << 3 << 1.5 << QStringList {"0.01", "0.02", "0.05", "0.1", "0.2", "0.5", "1"};
    }
    void tickLabels()
    {
        QFETCH(const int, kind);
        QFETCH(const double, high);
        QFETCH(const QStringList, expected);
        const QList<QSharedPointer<QCPAxisTicker>> tickers {QSharedPointer<QCPAxisTicker>(new SiTicker),
            QSharedPointer<QCPAxisTicker>(new ByteTicker), QSharedPointer<QCPAxisTicker>(new IntegerTicker),
            QSharedPointer<QCPAxisTicker>(new DecadeTicker)};
        QVector<double> ticks;
        QVector<double> subTicks;
        QVector<QString> labels;
        const double low = kind == 3 ? 0.01 : 0.0;
        tickers[kind]->generate(QCPRange(low, high), QLocale::c(), u'g', 6, ticks, &subTicks, &labels);
        QStringList shown;
        for (int i = 0; i < ticks.size(); ++i)
            if (ticks[i] >= low * 0.999 && ticks[i] <= high * 1.001 && !labels[i].isEmpty())
                shown << QString(labels[i]).replace(QChar(0x00a0), u' ');
        QCOMPARE(shown, expected);
    }
};

QTEST_MAIN(TestPlot)
#include "tst_plot.moc"
