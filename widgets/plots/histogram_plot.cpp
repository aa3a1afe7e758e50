// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/histogram_plot.h"

#include "widgets/plots/plot_style.h"
#include "widgets/plots/tickers.h"
#include "widgets/support/format_text.h"
#include "widgets/support/qcustomplot.h"

#include <QMenu>

#include <algorithm>
#include <cmath>

namespace {

/// Empty bins are drawn here on a logarithmic axis, just below the lowest count there can be.
constexpr double logarithmicFloor = 0.5;

/// A tick without a label at each quantization level.
class LevelTicker final : public QCPAxisTicker
{
public:
    explicit LevelTicker(const std::vector<float>& levels)
    {
        for (const float level : levels)
            m_levels << static_cast<double>(level);
    }

protected:
    QVector<double> createTickVector(double, const QCPRange&) override { return m_levels; }
    int getSubTickCount(double) override { return 0; }
    QString getTickLabel(double, const QLocale&, QChar, int) override { return {}; }

private:
    QVector<double> m_levels;
};

}  // namespace

HistogramPlot::HistogramPlot(QWidget* parent)
    : Plot(parent)
{
    setDescription(tr("Weight histogram"),
        tr("How many weights have which value: filled as stored, outlined after quantization. The ticks along the top "
           "are the values that codes stand for, of the group with the median scale."));
    setEmptyText(tr("Select a layer"));
    auto* canvas = this->canvas();
    canvas->xAxis->setLabel(tr("Weight"));
    canvas->xAxis->setTicker(QSharedPointer<SiTicker>::create());
    canvas->xAxis->setNumberFormat(QStringLiteral("g"));
    canvas->xAxis2->setVisible(true);
    canvas->xAxis2->setTickLabels(false);
    canvas->xAxis2->grid()->setVisible(false);
    connect(canvas->xAxis, qOverload<const QCPRange&>(&QCPAxis::rangeChanged), canvas->xAxis2,
        qOverload<const QCPRange&>(&QCPAxis::setRange));
    placeLegendAbove(canvas, 3);
    setLogarithmic(true);
}

void HistogramPlot::setLogarithmic(bool logarithmic)
{
    m_logarithmic = logarithmic;
    auto* axis = canvas()->yAxis;
    axis->setLabel(tr("Weights per bin"));
    if (logarithmic) {
        axis->setScaleType(QCPAxis::stLogarithmic);
        axis->setTicker(QSharedPointer<DecadeTicker>::create());
    } else {
        axis->setScaleType(QCPAxis::stLinear);
        axis->setTicker(QSharedPointer<SiTicker>::create());
    }
    draw();
    resetView();
}

void HistogramPlot::setData(WeightHistogramData histogram, bool keepView)
{
    m_data = std::move(histogram);
    draw();
    if (!keepView)
        resetView();
}

void HistogramPlot::clear()
{
    setData({});
}

void HistogramPlot::draw()
{
    auto* canvas = this->canvas();
    canvas->clearGraphs();
    const auto add = [&](const quantloupe::Histogram& histogram, const QString& name) {
        const auto curve = curveOf(histogram, BinHeight::Count, m_logarithmic ? logarithmicFloor : 0.0);
        auto* graph = canvas->addGraph();
        graph->setLineStyle(QCPGraph::lsStepCenter);
        graph->setAdaptiveSampling(false);
        graph->setName(name);
        graph->setData(curve.keys, curve.values, true);
        graph->addToLegend();
    };
    if (!m_data.original.counts.empty()) {
        add(m_data.original, tr("As stored"));
        for (const auto& pinned : m_data.pinned)
            add(pinned.histogram, pinned.name);
        if (!m_data.quantized.counts.empty())
            add(m_data.quantized, m_data.scheme.isEmpty() ? tr("Quantized") : m_data.scheme);
    }
    canvas->xAxis2->setTicker(QSharedPointer<LevelTicker>::create(m_data.levels));
    setHasData(!m_data.original.counts.empty());
    applyTheme();
}

PlotTable HistogramPlot::table() const
{
    PlotTable table {{tr("From"), tr("To"), tr("As stored (weights)")}, {}};
    std::vector<const quantloupe::Histogram*> columns {&m_data.original};
    if (!m_data.quantized.counts.empty()) {
        table.header << tr("%1 (weights)").arg(m_data.scheme.isEmpty() ? tr("Quantized") : m_data.scheme);
        columns.push_back(&m_data.quantized);
    }
    for (const auto& pinned : m_data.pinned) {
        table.header << tr("%1 (weights)").arg(pinned.name);
        columns.push_back(&pinned.histogram);
    }
    const auto& original = m_data.original;
    for (std::size_t bin = 0; bin < original.counts.size(); ++bin) {
        const double from = original.low + static_cast<double>(bin) * original.binWidth();
        QVariantList row {from, from + original.binWidth()};
        for (const auto* column : columns)
            row << (bin < column->counts.size() ? QVariant(static_cast<qulonglong>(column->counts[bin])) : QVariant());
        table.rows << row;
    }
    return table;
}

QString HistogramPlot::hoverText(QPointF position) const
{
    if (!canvas()->axisRect()->rect().contains(position.toPoint()))
        return {};
    const int bin = binAt(m_data.original, canvas()->xAxis->pixelToCoord(position.x()));
    if (bin < 0)
        return {};
    const auto index = static_cast<std::size_t>(bin);
    const double from = m_data.original.low + bin * m_data.original.binWidth();
    auto text = tr("%1 … %2\nas stored: %3 weights")
                    .arg(format::number(from), format::number(from + m_data.original.binWidth()),
                        format::integer(m_data.original.counts[index]));
    const auto addLine = [&](const QString& name, const quantloupe::Histogram& histogram) {
        if (index < histogram.counts.size())
            text += u'\n' + tr("%1: %2 weights").arg(name, format::integer(histogram.counts[index]));
    };
    addLine(m_data.scheme, m_data.quantized);
    for (const auto& pinned : m_data.pinned)
        addLine(pinned.name, pinned.histogram);
    return text;
}

void HistogramPlot::extendMenu(QMenu* menu)
{
    auto* action = menu->addAction(tr("&Logarithmic counts"), this, [this] { setLogarithmic(!m_logarithmic); });
    action->setCheckable(true);
    action->setChecked(m_logarithmic);
}

void HistogramPlot::resetView()
{
    const auto& original = m_data.original;
    if (original.counts.empty())
        return;
    const double margin = std::max((original.high - original.low) * 0.03, drawnBinWidth(original) * 2);
    canvas()->xAxis->setRange(original.low - margin, original.high + margin);
    double largest = 1.0;
    for (const auto count : original.counts)
        largest = std::max(largest, static_cast<double>(count));
    for (const auto count : m_data.quantized.counts)
        largest = std::max(largest, static_cast<double>(count));
    if (m_logarithmic)
        canvas()->yAxis->setRange(logarithmicFloor * 1.2, largest * 2.0);
    else
        canvas()->yAxis->setRange(0.0, largest * 1.05);
    replot();
}

void HistogramPlot::applyTheme()
{
    Plot::applyTheme();
    const auto colors = theme();
    auto* canvas = this->canvas();
    canvas->xAxis2->setTickLength(7, 0);
    canvas->xAxis2->setTickPen(QPen(colors.accent, 1));
    const int last = canvas->graphCount() - 1;
    for (int i = 0; i <= last; ++i) {
        auto* graph = canvas->graph(i);
        if (i == 0) {
            graph->setPen(QPen(colors.original, 1));
            graph->setBrush(colors.originalFill);
        } else if (i == last && !m_data.quantized.counts.empty()) {
            graph->setPen(QPen(colors.accent, 1.5));
        } else {
            graph->setPen(QPen(colors.series[static_cast<std::size_t>(i - 1) % colors.series.size()], 1.2));
        }
    }
}
