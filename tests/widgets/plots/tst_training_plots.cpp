// SPDX-License-Identifier: GPL-3.0-or-later
// The plots of a training: tables of what is drawn, empty states, hover texts, both themes, lines that grow.
#include "tests/support/screenshots.h"
#include "widgets/plots/level_histogram_plot.h"
#include "widgets/plots/step_size_plot.h"
#include "widgets/plots/training_curve_plot.h"
#include "widgets/support/qcustomplot.h"
#include "widgets/theme/theme.h"

#include <QSvgRenderer>
#include <QTest>
#include <QToolTip>

#include <cmath>
#include <functional>
#include <memory>
#include <numbers>

using namespace quantloupe;

namespace {

TrainingCurvesData curves(std::uint64_t done)
{
    TrainingCurvesData data {
        .lines = {{.name = QStringLiteral("Loss (KL)")}, {.name = QStringLiteral("KL, held-out text")}},
        .reference = 0.02,
        .referenceName = QStringLiteral("Original"),
        .steps = 400};
    for (std::uint64_t step = 0; step < done; ++step) {
        data.lines[0].steps.push_back(step);
        data.lines[0].values.push_back(0.5 * std::exp(-0.01 * double(step)) + 0.03 * double(step % 7));
        if (step % 20 == 0) {
            data.lines[1].steps.push_back(step);
            data.lines[1].values.push_back(0.45 * std::exp(-0.006 * double(step)));
        }
    }
    return data;
}

StepSizeData stepSizes(std::uint64_t done)
{
    StepSizeData data {.tensor = QStringLiteral("model.layers.2.mlp.down_proj.weight"), .steps = 400};
    for (std::uint64_t step = 0; step < done; step += 2) {
        const double way = double(step) / 400.0;
        data.spreads.push_back({.step = step,
            .p5 = 1.0 - 0.2 * way,
            .p25 = 1.0 - 0.1 * way,
            .median = 1.0 - 0.03 * way,
            .p75 = 1.0 + 0.04 * way,
            .p95 = 1.0 + 0.15 * way});
    }
    return data;
}

LevelHistogramData levels(double gathered)
{
    LevelHistogramData data {.tensor = QStringLiteral("model.layers.2.mlp.down_proj.weight")};
    for (auto* histogram : {&data.beginning, &data.now}) {
        histogram->histogram = {.low = -1.03125, .high = 8.03125, .counts = std::vector<std::uint64_t>(145)};
        for (std::size_t bin = 0; bin < 145; ++bin) {
            const double place = histogram->histogram.center(bin);
            const double waves =
                histogram == &data.now ? 1.0 + gathered * std::cos(2.0 * std::numbers::pi * place) : 1.0;
            histogram->histogram.counts[bin] =
                std::uint64_t(200.0 * waves * std::exp(-0.1 * (place - 3.5) * (place - 3.5)));
        }
        for (int level = 0; level < 8; ++level)
            histogram->levels.push_back(float(level));
    }
    data.beginning.distance = 0.25;
    data.now.distance = 0.2;
    return data;
}

struct Case {
    const char* name;
    int columns;
    std::function<std::unique_ptr<Plot>(int variant)> make;  ///< −1: empty
};

template<class PlotClass, class Data>
std::function<std::unique_ptr<Plot>(int)> maker(std::function<Data(int)> data)
{
    return [data](int variant) {
        auto plot = std::make_unique<PlotClass>();
        if (variant >= 0)
            plot->setData(data(variant));
        return std::unique_ptr<Plot>(std::move(plot));
    };
}

const std::vector<Case>& cases()
{
    static const std::vector<Case> all {
        {"loss", 4, maker<LossPlot, TrainingCurvesData>([](int variant) { return curves(variant == 0 ? 300 : 40); })},
        {"perplexity", 4,
            maker<PerplexityPlot, TrainingCurvesData>([](int variant) { return curves(variant == 0 ? 400 : 1); })},
        {"step_sizes", 6,
            maker<StepSizePlot, StepSizeData>([](int variant) { return stepSizes(variant == 0 ? 400 : 80); })},
        {"levels", 4, maker<LevelHistogramPlot, LevelHistogramData>([](int variant) {
             return levels(variant == 0 ? 0.8 : 0.1);
         })},
    };
    return all;
}

QCustomPlot* canvasOf(Plot& plot)
{
    return plot.findChild<QCustomPlot*>();
}

/// Shows the plot and gives the text that appears at a place in coordinates of its axes.
QString hover(Plot& plot, double x, double y)
{
    plot.resize(520, 320);
    plot.show();
    if (!QTest::qWaitForWindowExposed(&plot))
        return {};
    auto* canvas = canvasOf(plot);
    canvas->replot();
    QToolTip::hideText();
    const QPoint position = QPointF(canvas->xAxis->coordToPixel(x), canvas->yAxis->coordToPixel(y)).toPoint();
    QTest::mouseMove(canvas, position + QPoint(1, 1));
    QTest::mouseMove(canvas, position);
    QCoreApplication::processEvents();
    return QToolTip::text();
}

}  // namespace

class TestTrainingPlots : public QObject
{
    Q_OBJECT

    void everyPlot()
    {
        QTest::addColumn<int>("index");
        for (std::size_t i = 0; i < cases().size(); ++i)
            QTest::newRow(cases()[i].name) << int(i);
    }

private Q_SLOTS:
    void initTestCase() { QLocale::setDefault(QLocale::c()); }

    void tablesAndEmptyStates_data() { everyPlot(); }
    void tablesAndEmptyStates()
    {
        QFETCH(const int, index);
        const auto& [name, columns, make] = cases()[std::size_t(index)];
        const auto empty = make(-1);
        QVERIFY(!empty->hasData());
        QVERIFY(empty->table().rows.isEmpty());
        const auto full = make(0);
        QVERIFY(full->hasData());
        const auto table = full->table();
        QCOMPARE(table.header.size(), columns);
        QVERIFY(!table.rows.isEmpty());
        for (const auto& row : table.rows)
            QCOMPARE(row.size(), columns);
        QVERIFY(!full->title().isEmpty() && !full->accessibleDescription().isEmpty());
    }

    void dataChangesPixels_data() { everyPlot(); }
    void dataChangesPixels()
    {
        QFETCH(const int, index);
        const auto& make = cases()[std::size_t(index)].make;
        QSet<QByteArray> images;
        for (const int variant : {-1, 0, 1}) {
            const auto image = make(variant)->toPixmap({520, 300}, 1.0).toImage().convertToFormat(QImage::Format_RGB32);
            images.insert(QByteArray(reinterpret_cast<const char*>(image.constBits()), image.sizeInBytes()));
        }
        QCOMPARE(images.size(), 3);
        QVERIFY(QSvgRenderer(make(0)->toSvg({520, 300}, PlotColors::Light)).isValid());
    }

    void pictures_data() { everyPlot(); }
    void pictures()
    {
        QFETCH(const int, index);
        for (const bool dark : {false, true}) {
            Theme::instance().setMode(dark ? ThemeMode::Dark : ThemeMode::Light);
            QCoreApplication::processEvents();
            const auto picture = cases()[std::size_t(index)].make(0)->toPixmap({520, 300}, 2.0);
            QVERIFY(!picture.isNull());
            tests::saveScreenshot(picture,
                QStringLiteral("training_%1_%2")
                    .arg(QLatin1String(cases()[std::size_t(index)].name),
                        dark ? QStringLiteral("dark") : QStringLiteral("light")));
        }
        Theme::instance().setMode(ThemeMode::Light);
    }

    void curvesSayTheNearestPoint()
    {
        LossPlot plot;
        const auto data = curves(300);
        plot.setData(data);
        const auto text = hover(plot, 41.2, 0.1);
        QVERIFY2(text.contains(QStringLiteral("Loss (KL) after 41 steps")), qPrintable(text));
        QVERIFY2(text.contains(QStringLiteral("KL, held-out text after 40 steps")), qPrintable(text));
        QVERIFY2(text.contains(QStringLiteral("Original: 0.02")), qPrintable(text));
        QVERIFY(plot.data() == data);
        const auto table = plot.table();
        QCOMPARE(table.rows.size(), 300);
        QCOMPARE(table.rows[20][1].toDouble(), data.lines[0].values[20]);
        QCOMPARE(table.rows[20][2].toDouble(), data.lines[1].values[1]);
        QVERIFY(!table.rows[21][2].isValid());
    }

    /// The axis is that of the whole training, and values that no logarithm has leave a gap.
    void axesHoldEverything()
    {
        PerplexityPlot plot;
        auto data = curves(50);
        data.lines[0].values[10] = std::numeric_limits<double>::quiet_NaN();
        data.lines[0].values[11] = 0.0;
        plot.setData(data);
        const auto* canvas = canvasOf(plot);
        QVERIFY(canvas->xAxis->range().contains(0.0) && canvas->xAxis->range().contains(400.0));
        QVERIFY(canvas->yAxis->range().contains(0.02));
        for (const auto& line : data.lines)
            for (const double value : line.values)
                QVERIFY(!(value > 0.0) || canvas->yAxis->range().contains(value));
    }

    void stepSizesSayTheirQuantiles()
    {
        StepSizePlot plot;
        plot.setData(stepSizes(400));
        const auto text = hover(plot, 200.0, 1.0);
        QVERIFY2(text.contains(QStringLiteral("after 200 steps")), qPrintable(text));
        QVERIFY2(text.contains(QStringLiteral("median 0.985")), qPrintable(text));
        QVERIFY2(text.contains(QStringLiteral("0.9 to 1.075")), qPrintable(text));
        QCOMPARE(plot.table().rows.size(), 200);
        plot.setData({});
        QVERIFY(!plot.hasData());
    }

    void levelsSayWhatIsInABin()
    {
        LevelHistogramPlot plot;
        const auto data = levels(0.8);
        plot.setData(data);
        const auto text = hover(plot, 3.0, 20.0);
        QVERIFY2(text.contains(QStringLiteral("now: %1 weights").arg(data.now.histogram.counts[64])), qPrintable(text));
        QVERIFY2(text.contains(QStringLiteral("before training: %1 weights").arg(data.beginning.histogram.counts[64])),
            qPrintable(text));
        QCOMPARE(canvasOf(plot)->xAxis->ticker()->tickCount() > 0, true);
        const auto table = plot.table();
        QCOMPARE(table.rows.size(), 145);
        QCOMPARE(table.rows[64][3].toULongLong(), data.now.histogram.counts[64]);
    }
};

QTEST_MAIN(TestTrainingPlots)
#include "tst_training_plots.moc"
