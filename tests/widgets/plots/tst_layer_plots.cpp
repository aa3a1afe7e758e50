// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/widgets/plots/sample_plots.h"
#include "widgets/support/qcustomplot.h"
#include "widgets/theme/theme.h"

#include <QDir>
#include <QHelpEvent>
#include <QSignalSpy>
#include <QSvgRenderer>
#include <QTest>
#include <QToolTip>

#include <set>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

/// Qt tells widgets of a new palette by posted events.
void wear(ThemeMode mode)
{
    Theme::instance().setMode(mode);
    QCoreApplication::processEvents();
}

QCustomPlot* canvasOf(Plot& plot)
{
    return plot.findChild<QCustomPlot*>();
}

void show(Plot& plot, QSize size)
{
    plot.resize(size);
    plot.show();
    QVERIFY(QTest::qWaitForWindowExposed(&plot));
    canvasOf(plot)->replot();
}

/// Moves the pointer without a button and gives the text that appears.
QString hover(Plot& plot, QPoint position)
{
    QToolTip::hideText();
    QTest::mouseMove(canvasOf(plot), position + QPoint(1, 1));
    QTest::mouseMove(canvasOf(plot), position);
    QCoreApplication::processEvents();
    return QToolTip::text();
}

QPoint middleOf(Plot& plot)
{
    return canvasOf(plot)->axisRect(0)->center();
}

QPoint pixel(Plot& plot, double x, double y)
{
    return QPointF(canvasOf(plot)->xAxis->coordToPixel(x), canvasOf(plot)->yAxis->coordToPixel(y)).toPoint();
}

}  // namespace

class TestLayerPlots : public QObject
{
    Q_OBJECT

    const std::vector<PlotRecipe> m_recipes = layerPlots();

    void everyPlot()
    {
        QTest::addColumn<int>("index");
        for (std::size_t i = 0; i < m_recipes.size(); ++i)
            QTest::newRow(m_recipes[i].name) << static_cast<int>(i);
    }
    const PlotRecipe& recipe(int index) const { return m_recipes[static_cast<std::size_t>(index)]; }

private Q_SLOTS:
    void initTestCase() { QLocale::setDefault(QLocale::c()); }
    void init() { wear(ThemeMode::Light); }

    void dataChangesPixels_data() { everyPlot(); }
    void dataChangesPixels()
    {
        QFETCH(const int, index);
        const auto& [name, size, make] = recipe(index);
        std::set<QByteArray> images;
        for (const int variant : {-1, 0, 1}) {
            const auto image = make(variant)->toPixmap(size, 1.0).toImage().convertToFormat(QImage::Format_RGB32);
            QCOMPARE(image.size(), size);
            images.insert(QByteArray(reinterpret_cast<const char*>(image.constBits()), image.sizeInBytes()));
        }
        QCOMPARE(images.size(), std::size_t(3));
    }

    void emptyHasNoTable_data() { everyPlot(); }
    void emptyHasNoTable()
    {
        QFETCH(const int, index);
        const auto empty = recipe(index).make(-1);
        QVERIFY(!empty->hasData());
        QCOMPARE(empty->table().rows.size(), 0);
        const auto full = recipe(index).make(0);
        const auto table = full->table();
        QVERIFY(full->hasData());
        QVERIFY(table.rows.size() > 0);
        for (const auto& row : table.rows)
            QCOMPARE(row.size(), table.header.size());
        QVERIFY(!full->accessibleName().isEmpty());
        QVERIFY(!full->accessibleDescription().isEmpty());
    }

    void svgIsValid_data() { everyPlot(); }
    void svgIsValid()
    {
        QFETCH(const int, index);
        const auto svg = recipe(index).make(0)->toSvg(recipe(index).size, PlotColors::Light);
        QVERIFY(QSvgRenderer(svg).isValid());
        QVERIFY(svg.size() < 2'000'000);
    }

    /// Saved for looking at, where QUANTLOUPE_SCREENSHOTS names a folder.
    void rendersInBothThemes_data() { everyPlot(); }
    void rendersInBothThemes()
    {
        QFETCH(const int, index);
        const auto& [name, size, make] = recipe(index);
        const auto folder = qEnvironmentVariable("QUANTLOUPE_SCREENSHOTS");
        for (const auto mode : {ThemeMode::Light, ThemeMode::Dark}) {
            wear(mode);
            for (const int variant : {-1, 0, 1}) {
                const auto image = make(variant)->toPixmap(size, 1.0).toImage();
                std::set<QRgb> colors;
                for (int y = 0; y < image.height(); ++y)
                    for (int x = 0; x < image.width(); ++x)
                        colors.insert(image.pixel(x, y));
                QVERIFY(colors.size() > (variant < 0 ? 2U : 10U));
                QVERIFY((image.pixelColor(1, 1).lightness() > 128) == (mode == ThemeMode::Light));
                if (!folder.isEmpty() && QDir().mkpath(folder))
                    image.save(QStringLiteral("%1/plot-%2-%3-%4.png")
                                   .arg(folder, QLatin1String(name),
                                       variant < 0   ? "empty"
                                           : variant ? "b"
                                                     : "a",
                                       mode == ThemeMode::Dark ? "dark" : "light"));
            }
        }
    }

    void hoverTellsValues_data() { everyPlot(); }
    void hoverTellsValues()
    {
        QFETCH(const int, index);
        const auto plot = recipe(index).make(0);
        show(*plot, recipe(index).size);
        auto position = middleOf(*plot);
        if (qobject_cast<SizeByRolePlot*>(plot.get()))
            position = pixel(*plot, 1000.0, 1.0);
        QVERIFY2(
            hover(*plot, position).contains(QRegularExpression(QStringLiteral("\\d"))), qPrintable(QToolTip::text()));
    }

    void rolesAddUp()
    {
        SizeByRolePlot plot;
        plot.setSizes(roleSizes(4));
        show(plot, {760, 220});
        QSignalSpy clicked(&plot, &SizeByRolePlot::roleClicked);
        // The middle of the second segment: queries, after the embedding.
        const double place = static_cast<double>((std::uint64_t(1002) << 20) + (std::uint64_t(512) << 20));
        QVERIFY(hover(plot, pixel(plot, place, 1.0)).startsWith(QStringLiteral("Query, tensors: 32")));
        QTest::mouseClick(canvasOf(plot), Qt::LeftButton, {}, pixel(plot, place, 1.0));
        QCOMPARE(clicked.value(0).value(0).value<TensorRole>(), TensorRole::Query);
        QTest::mouseClick(canvasOf(plot), Qt::LeftButton, {}, pixel(plot, place, 0.5));
        QCOMPARE(clicked.count(), 1);
    }

    void rangeClickSelectsTheTensor()
    {
        WeightRangePlot plot;
        const auto ranges = depthRanges(12);
        plot.setRanges(ranges);
        show(plot, {1000, 300});
        QSignalSpy clicked(&plot, &Plot::tensorClicked);
        QSignalSpy opened(&plot, &Plot::tensorDoubleClicked);
        for (const std::size_t i : {std::size_t(0), std::size_t(17), ranges.size() - 1}) {
            QTest::mouseClick(canvasOf(plot), Qt::LeftButton, {}, pixel(plot, static_cast<double>(i), 0.0));
            QCOMPARE(clicked.takeFirst().value(0).toString(), ranges[i].tensor);
        }
        QTest::mouseDClick(canvasOf(plot), Qt::LeftButton, {}, pixel(plot, 5.0, 0.0));
        QCOMPARE(opened.value(0).value(0).toString(), ranges[5].tensor);
    }

    void rangesFollowTheStudyInDepthOrder()
    {
        ModelCatalog catalog;
        StudySnapshot study;
        const auto add = [&](const char* name, bool quantizable, bool measured) {
            catalog.tensors.push_back(
                {.name = name, .parts = readName(name), .shape = {}, .matrix = {}, .quantizable = quantizable});
            if (measured)
                study.weights[name] = std::make_shared<WeightStatistics>(
                    WeightStatistics {.minimum = -2.0, .maximum = 3.0, .percentile1 = -1.0, .percentile99 = 1.5});
        };
        add("lm_head.weight", true, true);
        add("model.layers.1.mlp.down_proj.weight", true, true);
        add("model.layers.0.self_attn.q_proj.weight", true, true);
        add("model.layers.0.self_attn.k_proj.weight", true, false);
        add("model.norm.weight", false, true);
        add("model.embed_tokens.weight", true, true);
        QStringList names;
        for (const auto& range : weightRanges(catalog, study)) {
            names << range.tensor;
            QCOMPARE(range.minimum, -2.0);
            QCOMPARE(range.percentile99, 1.5);
        }
        QCOMPARE(names,
            QStringList({"model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight",
                "model.layers.1.mlp.down_proj.weight", "lm_head.weight"}));
    }

    void sizesSumByRole()
    {
        ModelCatalog catalog;
        Plan plan;
        for (const auto& [name, bytes, planned] : {std::tuple("model.layers.0.self_attn.q_proj.weight", 100U, 30U),
                 std::tuple("model.layers.1.self_attn.q_proj.weight", 50U, 20U),
                 std::tuple("model.norm.weight", 7U, 7U)}) {
            plan.tensors.push_back({.tensor = catalog.tensors.size(), .scheme = {}, .bytes = planned});
            catalog.tensors.push_back(
                {.name = name, .parts = readName(name), .shape = {}, .matrix = {}, .bytes = bytes});
        }
        const auto sizes = sizesByRole(catalog, plan);
        QCOMPARE(sizes.size(), std::size_t(2));
        QCOMPARE(sizes[0], (RoleSize {TensorRole::Query, 150, 50, 2}));
        QCOMPARE(sizes[1], (RoleSize {TensorRole::Norm, 7, 7, 1}));
    }

    void histogramCurveCountsAndDensities()
    {
        const Histogram histogram {.low = 0.0, .high = 2.0, .counts = {1, 0, 3, 4}, .underflow = 1, .overflow = 1};
        const auto counts = curveOf(histogram, BinHeight::Count, 0.0);
        QCOMPARE(counts.keys, (QVector<double> {-0.25, 0.25, 0.75, 1.25, 1.75, 2.25}));
        QCOMPARE(counts.values, (QVector<double> {0, 1, 0, 3, 4, 0}));
        QCOMPARE(counts.smallest, 1.0);
        // 10 values in all, bins 0.5 wide: a density of count / (10 × 0.5).
        QCOMPARE(curveOf(histogram, BinHeight::Density, 0.0).largest, 0.8);
        QCOMPARE(binAt(histogram, 1.2), 2);
        QCOMPARE(binAt(histogram, -0.1), -1);
        QCOMPARE(binAt(histogram, 2.1), -1);
        const Histogram constant {.low = 0.5, .high = 0.5, .counts = {9, 0}};
        QCOMPARE(curveOf(constant, BinHeight::Count, 0.0).values, (QVector<double> {0, 9, 0}));
        QCOMPARE(binAt(constant, 0.5), 0);
    }

    void errorHistogramNotesQuantilesAndOutside()
    {
        ErrorHistogramPlot plot;
        const Histogram histogram {
            .low = -1.0, .high = 1.0, .counts = std::vector<std::uint64_t>(200, 5), .underflow = 12, .overflow = 8};
        plot.setData({QStringLiteral("int4"), histogram});
        const auto svg = QString::fromUtf8(plot.toSvg({560, 320}));
        QVERIFY(svg.contains(QStringLiteral("12 below, 8 above")));
        for (const double q : {0.01, 0.5, 0.99})
            QVERIFY(svg.contains(QLocale::c().toString(q * 100) + QStringLiteral(" %")));
        QCOMPARE(plot.table().rows.size(), 202);
        plot.setLogarithmic(true);
        QVERIFY(plot.hasData());
    }

    void channelsEmitTheirIndex()
    {
        ChannelPlot plot;
        plot.setProfile(channelProfile(4096, 1200));
        show(plot, {560, 260});
        QSignalSpy clicked(&plot, &ChannelPlot::channelClicked);
        // Two pixels beside the outlier, which a pointer is meant to hit.
        QTest::mouseClick(canvasOf(plot), Qt::LeftButton, {}, pixel(plot, 1200.0, 0.3) + QPoint(2, 0));
        QCOMPARE(clicked.value(0).value(0).toBool(), false);
        QCOMPARE(clicked.value(0).value(1).toInt(), 1200);
    }

    void mapAsksForTheRectangleInView()
    {
        WeightMapPlot plot;
        plot.setMap(weightMap(MapQuantity::Weights), {.rows = 4096, .columns = 4096});
        show(plot, {560, 460});
        QTest::qWait(150);
        QSignalSpy asked(&plot, &WeightMapPlot::rectangleRequested);
        const auto middle = middleOf(plot);
        for (int i = 0; i < 6; ++i) {
            QWheelEvent wheel(
                middle, canvasOf(plot)->mapToGlobal(middle), {}, {0, 240}, {}, {}, Qt::NoScrollPhase, false);
            QCoreApplication::sendEvent(canvasOf(plot), &wheel);
        }
        QVERIFY(asked.wait(2000));
        QCOMPARE(asked.count(), 1);
        const auto request = asked.takeFirst();
        const auto row = request[0].toULongLong();
        const auto rows = request[2].toULongLong();
        QVERIFY(rows < 1000 && row > 1500 && row + rows < 2600);
        // The finer raster replaces the coarse one; the view stays.
        const auto view = canvasOf(plot)->xAxis->range();
        auto part = weightMap(MapQuantity::Weights);
        part.firstRow = row;
        part.rows = rows;
        part.firstColumn = request[1].toULongLong();
        part.columns = request[3].toULongLong();
        plot.setMap(part, {.rows = 4096, .columns = 4096});
        QCOMPARE(canvasOf(plot)->xAxis->range(), view);
    }

    void mapStaysInsideTheMatrix()
    {
        WeightMapPlot plot;
        plot.setMap(weightMap(MapQuantity::Codes), {.rows = 4096, .columns = 4096});
        show(plot, {560, 460});
        canvasOf(plot)->xAxis->setRange(-5000.0, 9000.0);
        QCOMPARE(canvasOf(plot)->xAxis->range().lower, -0.5);
        QCOMPARE(canvasOf(plot)->xAxis->range().upper, 4095.5);
        // One row alone still shows.
        WeightMap line {.rows = 1, .columns = 3, .height = 1, .width = 3, .cells = {1.0F, -2.0F, 3.0F}};
        plot.setMap(line, {.rows = 1, .columns = 3});
        QCOMPARE(plot.table().rows.size(), 3);
        QVERIFY(hover(plot, pixel(plot, 1.0, 0.0)).contains(QStringLiteral("row 0, column 1: −2")));
    }

    void panelsAreClicked()
    {
        SmallMultiplesPlot plot;
        plot.setPanels(schemePanels());
        show(plot, {1000, 180});
        QSignalSpy clicked(&plot, &SmallMultiplesPlot::schemeClicked);
        QTest::mouseClick(canvasOf(plot), Qt::LeftButton, {}, canvasOf(plot)->axisRects().at(4)->center());
        QCOMPARE(clicked.value(0).value(0).toString(), QStringLiteral("int6:tensor"));
    }

    void loudChannelsAreFound()
    {
        ActivationPlot plot;
        plot.setProfile(inputProfile(300, {40, 200}));
        show(plot, {900, 300});
        QVERIFY(hover(plot, pixel(plot, 41.0, 2.0)).contains(QStringLiteral("channel 40\nlargest |x|: 60, 60×")));
        QVERIFY(hover(plot, pixel(plot, 200.0, 2.0)).contains(QStringLiteral("channel 200\n")));
        QCOMPARE(plot.table().rows.size(), 300);
        QCOMPARE(plot.table().rows.at(40).at(4).toString(), QStringLiteral("yes"));
        QCOMPARE(plot.table().rows.at(41).at(4).toString(), QString());
        plot.setOrder(ActivationPlot::Order::LoudestFirst);
        QCOMPARE(plot.table().rows.at(0).at(0).toInt(), 40);
        QCOMPARE(plot.table().rows.at(1).at(0).toInt(), 200);
        QVERIFY(plot.table().rows.at(2).at(1).toDouble() >= plot.table().rows.at(3).at(1).toDouble());
        canvasOf(plot)->replot();
        QVERIFY(hover(plot, pixel(plot, 0.0, 2.0)).contains(QStringLiteral("channel 40\n")));
        plot.clear();
        QVERIFY(!plot.hasData());
    }

    void normalReference_data()
    {
        QTest::addColumn<double>("sigmas");
        QTest::addColumn<double>("share");
        QTest::newRow("0") << 0.0 << 1.0;
        QTest::newRow("1") << 1.0 << 0.31731050786291415;
        QTest::newRow("2") << 2.0 << 0.04550026389635839;
        QTest::newRow("3") << 3.0 << 0.0026997960632601866;
    }
    void normalReference()
    {
        QFETCH(const double, sigmas);
        QFETCH(const double, share);
        QVERIFY(std::abs(SurvivalPlot::normalSurvival(sigmas) - share) < 1e-12);
    }
};

QTEST_MAIN(TestLayerPlots)
#include "tst_layer_plots.moc"
