// SPDX-License-Identifier: GPL-3.0-or-later
// What every plot of the Sensitivity, Trade-off and Savings pages has in common: a table of what is drawn, an empty
// state, a drawing that does not depend on the order of events, and both themes.
#include "tests/support/screenshots.h"
#include "tests/support/synthetic_study.h"
#include "widgets/plots/dumbbell_plot.h"
#include "widgets/plots/study_figures.h"
#include "widgets/plots/truth_plot.h"
#include "widgets/support/qcustomplot.h"
#include "widgets/theme/theme.h"

#include <QSvgRenderer>
#include <QTest>
#include <QToolTip>
#include <QXmlStreamReader>

#include <functional>
#include <limits>
#include <memory>

using namespace quantloupe;

namespace {

/// Shows the plot, moves the pointer to a place and gives the text that appears.
QString hover(Plot& plot, const std::function<QPointF()>& place)
{
    plot.resize(500, 360);
    plot.show();
    if (!QTest::qWaitForWindowExposed(&plot))
        return {};
    auto* canvas = plot.findChild<QCustomPlot*>();
    canvas->replot();
    QToolTip::hideText();
    const auto position = place().toPoint();
    QTest::mouseMove(canvas, position + QPoint(1, 1));
    QTest::mouseMove(canvas, position);
    QCoreApplication::processEvents();
    return QToolTip::text();
}

struct Case {
    const char* name;
    QSize size;
    int rows;  ///< of the table
    std::function<std::unique_ptr<Plot>(bool filled)> make;
};

template<class PlotClass, class Data>
std::function<std::unique_ptr<Plot>(bool)> maker(std::function<Data()> data)
{
    return [data](bool filled) {
        auto plot = std::make_unique<PlotClass>();
        plot->setData(filled ? data() : Data {});
        return std::unique_ptr<Plot>(std::move(plot));
    };
}

std::vector<figures::Scenario> scenarios()
{
    Projection base;
    base.weightsBytes = 16'060'522'240;
    base.keyValueBytes = 536'870'912;
    base.activationBytes = 204'800'000;
    base.prefillTokensPerSecond = 4100.0;
    base.decodeTokensPerSecond = 48.3;
    base.energyPerToken = 4.1;
    base.decodeOperations = {{"attention weights", 2.7e9, 2.7e9, 3.3e-3, true},
        {"mlp weights", 1.1e10, 1.1e10, 1.4e-2, true}, {"lm_head", 1.05e9, 1.05e9, 1.3e-3, true},
        {"kv cache", 1.07e9, 5.4e8, 6.7e-4, true}};
    Projection recipe = base;
    recipe.weightsBytes = 4'580'000'000;
    recipe.prefillTokensPerSecond = 4300.0;
    recipe.decodeTokensPerSecond = 151.0;
    recipe.energyPerToken = 1.3;
    recipe.decodeOperations = {{"attention weights", 2.7e9, 7.3e8, 9.0e-4, true},
        {"mlp weights", 1.1e10, 3.0e9, 3.7e-3, true}, {"lm_head", 1.05e9, 1.05e9, 1.3e-3, true},
        {"kv cache", 1.07e9, 5.4e8, 6.7e-4, true}};
    return {{QStringLiteral("As stored"), base}, {QStringLiteral("Recipe"), recipe}};
}

const DeviceProfile& device()
{
    static const DeviceProfile profile = tests::syntheticDevice("card", "A card", 12e9, 1.008e12, 1.65e14);
    return profile;
}

std::vector<Case> cases()
{
    static const StudySnapshot small = tests::syntheticStudy(2);
    static const StudySnapshot medium = tests::syntheticStudy(32);
    static const StudySnapshot large = tests::syntheticStudy(143);
    static const Plan largePlan = resolve(*large.recipe, large.model);
    static const Plan mediumPlan = resolve(*medium.recipe, medium.model);
    const std::string scheme = "int4:g32";
    return {
        {"sensitivity_map_small", {640, 420}, 16, maker<SensitivityMapPlot, SensitivityMapData>([] {
             return figures::sensitivityMap(small, ErrorMetric::Sqnr, figures::RowOrder::Depth, &mediumPlan);
         })},
        {"sensitivity_map_depth", {640, 640}, 226, maker<SensitivityMapPlot, SensitivityMapData>([] {
             return figures::sensitivityMap(medium, ErrorMetric::Sqnr, figures::RowOrder::Depth, &mediumPlan);
         })},
        {"sensitivity_map_thousand", {640, 640}, 1003, maker<SensitivityMapPlot, SensitivityMapData>([] {
             return figures::sensitivityMap(large, ErrorMetric::Sqnr, figures::RowOrder::Role, &largePlan);
         })},
        {"sensitivity_map_role", {640, 640}, 226, maker<SensitivityMapPlot, SensitivityMapData>([] {
             return figures::sensitivityMap(medium, ErrorMetric::RelativeError, figures::RowOrder::Role, &mediumPlan);
         })},
        {"ranking", {520, 420}, 20, maker<RankingPlot, RankingData>([scheme] {
             return figures::ranking(medium, ErrorMetric::RelativeError, scheme, 20);
         })},
        {"role_boxes", {560, 380}, 9, maker<RoleBoxPlot, RoleBoxData>([scheme] {
             return figures::roleBoxes(medium, ErrorMetric::RelativeError, scheme);
         })},
        {"depth_lines", {640, 380}, 224, maker<DepthLinesPlot, DepthLinesData>([scheme] {
             return figures::depthLines(medium, ErrorMetric::Sqnr, scheme);
         })},
        {"memory_stack", {640, 260}, 3,
            maker<MemoryStackPlot, MemoryStackData>([] { return figures::memoryStack(scenarios(), {device()}); })},
        {"latency", {860, 180}, 2, maker<LatencyPlot, LatencyData>([] { return figures::latency(scenarios()); })},
        {"roofline", {640, 420}, 8,
            maker<RooflinePlot, RooflineData>([] { return figures::roofline(scenarios(), device()); })},
        {"trade_off", {720, 480}, -1, maker<TradeOffPlot, TradeOffData>([] {
             return figures::tradeOff(tradeOffPicture(medium, &*medium.recipe));
         })},
    };
}

}  // namespace

class DecisionPlotsTest : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void everyPlot_data()
    {
        QTest::addColumn<int>("index");
        const auto all = cases();
        for (std::size_t i = 0; i < all.size(); ++i)
            QTest::newRow(all[i].name) << int(i);
    }
    void everyPlot()
    {
        QFETCH(int, index);
        const Case entry = cases()[std::size_t(index)];
        const auto empty = entry.make(false);
        QVERIFY(!empty->hasData());
        QVERIFY(empty->table().rows.isEmpty());
        QVERIFY(!empty->title().isEmpty() && !empty->whatsThis().isEmpty());

        const auto plot = entry.make(true);
        QVERIFY(plot->hasData());
        const PlotTable table = plot->table();
        if (entry.rows >= 0)
            QCOMPARE(table.rows.size(), entry.rows);
        QVERIFY(!table.rows.isEmpty());
        for (const QVariantList& row : table.rows)
            QCOMPARE(row.size(), table.header.size());

        const QByteArray svg = plot->toSvg(entry.size, PlotColors::Light);
        QXmlStreamReader reader(svg);
        while (!reader.atEnd())
            reader.readNext();
        QVERIFY2(!reader.hasError(), qPrintable(reader.errorString()));
        QVERIFY(QSvgRenderer(svg).isValid());
        // Drawing twice gives the same: nothing accumulates.
        QCOMPARE(plot->toSvg(entry.size, PlotColors::Light), svg);

        for (const ThemeMode mode : {ThemeMode::Light, ThemeMode::Dark}) {
            Theme::instance().setMode(mode);
            const auto shown = entry.make(true);
            shown->resize(entry.size);
            shown->show();
            QVERIFY(QTest::qWaitForWindowExposed(shown.get()));
            QTest::qWait(30);
            const QPixmap picture = shown->grab();
            const bool dark = mode == ThemeMode::Dark;
            QCOMPARE(picture.toImage().pixelColor(1, 1).lightness() < 128, dark);
            tests::saveScreenshot(picture,
                QStringLiteral("plot_%1_%2")
                    .arg(QLatin1String(entry.name), dark ? QStringLiteral("dark") : QStringLiteral("light")));
        }
        Theme::instance().setMode(ThemeMode::Light);
    }

    // The titles depend on the room there is, which only the drawing itself knows.
    void sensitivityMapNamesItsSchemesOffScreen()
    {
        const auto plot = cases().front().make(true);
        QCOMPARE(plot->metaObject()->className(), "SensitivityMapPlot");
        for (const int width : {900, 300}) {
            const auto svg = QString::fromUtf8(plot->toSvg({width, 500}, PlotColors::Light));
            for (const QString& scheme : plot->table().header.mid(1))
                QVERIFY2(svg.contains(u'>' + scheme.section(u':', 0, 0)), qPrintable(scheme));
        }
    }

    // Figures of small schemes come after those of large ones: the view must take them in, unless somebody zoomed.
    void tradeOffFollowsFiguresThatFillIn()
    {
        constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
        TradeOffData early {
            .uniform = {{QStringLiteral("int8"), 8e6, 8.0, 1e-4}, {QStringLiteral("int4"), 4e6, 4.0, unknown}},
            .frontier = {},
            .current = {}};
        auto late = early;
        late.uniform[1].error = 1e-2;
        const auto inView = [](const TradeOffPlot& plot, const TradeOffData::Place& place) {
            return plot.findChild<QCustomPlot*>()->axisRect()->rect().contains(plot.pixelOf(place).toPoint());
        };
        TradeOffPlot plot;
        plot.resize(600, 400);
        plot.show();
        QVERIFY(QTest::qWaitForWindowExposed(&plot));
        plot.setData(early);
        QVERIFY(!inView(plot, late.uniform[1]));
        plot.setData(late);
        QVERIFY(inView(plot, late.uniform[0]) && inView(plot, late.uniform[1]));

        TradeOffPlot zoomed;
        zoomed.resize(600, 400);
        zoomed.show();
        QVERIFY(QTest::qWaitForWindowExposed(&zoomed));
        zoomed.setData(early);
        zoomed.findChild<QCustomPlot*>()->xAxis->setRange(7.9e6, 8.1e6);
        zoomed.setData(late);
        QVERIFY(!inView(zoomed, late.uniform[1]));
    }

    // What stays as stored loses nothing; that is not the same as not being known.
    void dumbbellsTellLosslessFromUnknown()
    {
        constexpr double lossless = std::numeric_limits<double>::infinity();
        constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
        DumbbellPlot plot;
        plot.setData({.metric = ErrorMetric::Sqnr,
            .firstName = QStringLiteral("A"),
            .secondName = QStringLiteral("B"),
            .items = {{.tensor = QStringLiteral("up"),
                .label = QStringLiteral("up"),
                .first = lossless,
                .second = unknown,
                .firstNote = QStringLiteral("kept"),
                .secondNote = QStringLiteral("int4")}}});
        const auto text = hover(plot, [&] {
            const auto* axes = plot.findChild<QCustomPlot*>();
            return QPointF(axes->axisRect()->center().x(), axes->yAxis->coordToPixel(0));
        });
        QVERIFY2(text.contains(QStringLiteral("A: lossless (kept)")), qPrintable(text));
        QVERIFY2(text.contains(QStringLiteral("B: not measured (int4)")), qPrintable(text));
    }

    // One window of text has no standard error.
    void truthHidesUnknownStandardErrors()
    {
        for (const double standardError : {0.0, 0.002}) {
            TruthPlot plot;
            plot.setData({{{.label = QStringLiteral("recipe"),
                .kind = TruthData::Kind::Current,
                .predicted = 0.02,
                .measured = 0.03,
                .standardError = standardError,
                .bytes = 1e6,
                .bitsPerWeight = 4.0}}});
            const auto text = hover(plot, [&] { return plot.pixelOf(plot.data().points.front()); });
            QVERIFY2(text.contains(QStringLiteral("measured KL 0.03")), qPrintable(text));
            QCOMPARE(text.contains(QStringLiteral("±")), standardError > 0.0);
            QCOMPARE(plot.table().rows.front().last().isValid(), standardError > 0.0);
        }
    }
};

QTEST_MAIN(DecisionPlotsTest)
#include "tst_decision_plots.moc"
