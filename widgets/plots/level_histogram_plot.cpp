// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/level_histogram_plot.h"

#include "widgets/plots/histogram_curve.h"
#include "widgets/plots/plot_style.h"
#include "widgets/plots/tickers.h"
#include "widgets/support/format_text.h"
#include "widgets/support/qcustomplot.h"

#include <algorithm>
#include <utility>

namespace {

/// With more levels lines at each of them would be a grey area.
constexpr std::size_t mostLines = 40;

/// A grid line at each level, labelled where there is room.
class LevelLineTicker final : public QCPAxisTicker
{
public:
    explicit LevelLineTicker(const std::vector<float>& levels)
    {
        const auto every = (levels.size() + mostLines - 1) / mostLines;
        for (std::size_t i = 0; i < levels.size(); i += std::max<std::size_t>(1, every))
            m_levels << static_cast<double>(levels[i]);
    }

protected:
    QVector<double> createTickVector(double, const QCPRange&) override { return m_levels; }
    int getSubTickCount(double) override { return 0; }
    QString getTickLabel(double tick, const QLocale&, QChar, int) override
    {
        const auto labelled = std::max<qsizetype>(1, (m_levels.size() + 8) / 9);
        return m_levels.indexOf(tick) % labelled == 0 ? format::number(tick, 2) : QString();
    }

private:
    QVector<double> m_levels;
};

}  // namespace

LevelHistogramPlot::LevelHistogramPlot(QWidget* parent)
    : Plot(parent)
{
    setDescription(tr("Weights and levels"),
        tr("How many weights lie where between the levels that they are rounded to, in scales of their groups: filled "
           "as they began, outlined as they are. A line stands at each level; weights that gather there lose little by "
           "rounding."));
    setEmptyText(tr("Start a training and select a layer to see its weights between their levels"));
    auto* canvas = this->canvas();
    canvas->xAxis->setLabel(tr("Weight, in scales of its group"));
    canvas->yAxis->setLabel(tr("Weights per bin"));
    canvas->yAxis->setTicker(QSharedPointer<QCPAxisTicker>(new SiTicker));
    canvas->yAxis->grid()->setVisible(false);
    for (const auto& name : {tr("Before training"), tr("Now")}) {
        auto* graph = canvas->addGraph();
        graph->setName(name);
        graph->setLineStyle(QCPGraph::lsStepCenter);
        graph->setAdaptiveSampling(false);
        graph->setSelectable(QCP::stNone);
        graph->addToLegend();
    }
    placeLegendAbove(canvas, 3);
    setHasData(false);  // the legend, too, waits for data
}

void LevelHistogramPlot::setData(LevelHistogramData content)
{
    if (content == m_data)
        return;
    m_data = std::move(content);
    const quantloupe::Histogram* shown[] {&m_data.beginning.histogram, &m_data.now.histogram};
    for (int i = 0; i < 2; ++i) {
        const auto curve = curveOf(*shown[i], BinHeight::Count, 0.0);
        canvas()->graph(i)->setData(curve.keys, curve.values, true);
    }
    canvas()->xAxis->setTicker(QSharedPointer<QCPAxisTicker>(new LevelLineTicker(m_data.now.levels)));
    setHasData(!m_data.now.histogram.counts.empty());
    resetView();
    replot();
}

PlotTable LevelHistogramPlot::table() const
{
    PlotTable table {
        {tr("From (scales)"), tr("To (scales)"), tr("Before training (weights)"), tr("Now (weights)")}, {}};
    const auto& before = m_data.beginning.histogram;
    const auto& now = m_data.now.histogram;
    for (std::size_t bin = 0; bin < now.counts.size(); ++bin) {
        const double from = now.low + static_cast<double>(bin) * now.binWidth();
        table.rows.append({from, from + now.binWidth(),
            bin < before.counts.size() ? QVariant(static_cast<qulonglong>(before.counts[bin])) : QVariant(),
            static_cast<qulonglong>(now.counts[bin])});
    }
    return table;
}

QString LevelHistogramPlot::hoverText(QPointF position) const
{
    if (!canvas()->axisRect()->rect().contains(position.toPoint()))
        return {};
    const auto& now = m_data.now.histogram;
    const int bin = binAt(now, canvas()->xAxis->pixelToCoord(position.x()));
    if (bin < 0)
        return {};
    const auto index = static_cast<std::size_t>(bin);
    const auto& before = m_data.beginning.histogram.counts;
    return tr("%1\n%2 … %3 scales\nbefore training: %4 weights\nnow: %5 weights")
        .arg(m_data.tensor, format::number(now.low + bin * now.binWidth(), 3),
            format::number(now.low + (bin + 1) * now.binWidth(), 3),
            index < before.size() ? format::integer(before[index]) : format::none(),
            format::integer(now.counts[index]));
}

void LevelHistogramPlot::applyTheme()
{
    Plot::applyTheme();
    const auto colors = theme();
    canvas()->graph(0)->setPen(QPen(colors.original, 1));
    canvas()->graph(0)->setBrush(colors.originalFill);
    canvas()->graph(1)->setPen(QPen(colors.accent, 1.4));
}

void LevelHistogramPlot::resetView()
{
    const auto& now = m_data.now.histogram;
    if (now.counts.empty())
        return;
    canvas()->xAxis->setRange(now.low, now.high);
    std::uint64_t largest = 1;
    for (const auto* histogram : {&std::as_const(m_data.beginning.histogram), &now})
        for (const auto count : histogram->counts)
            largest = std::max(largest, count);
    canvas()->yAxis->setRange(0.0, static_cast<double>(largest) * 1.05);
}
