// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/step_size_plot.h"

#include "widgets/plots/plot_style.h"
#include "widgets/plots/tickers.h"
#include "widgets/support/format_text.h"
#include "widgets/support/qcustomplot.h"

#include <algorithm>
#include <cmath>

using quantloupe::StepSpread;

namespace {

/// In the order of the graphs: bands first, so that the median lies on top.
constexpr double StepSpread::*bandEnds[] {
    &StepSpread::p5, &StepSpread::p95, &StepSpread::p25, &StepSpread::p75, &StepSpread::median};
constexpr int medianGraph = 4;

}  // namespace

StepSizePlot::StepSizePlot(QWidget* parent)
    : Plot(parent)
{
    setDescription(tr("Step sizes"),
        tr("Scales of the layer's groups as shares of what they began with: the median, the middle half and nine "
           "tenths of them. Below 1 the training clips more to round finer."));
    setEmptyText(tr("Start a training and select a layer to see how its scales move"));
    canvas()->xAxis->setLabel(tr("Steps done"));
    canvas()->xAxis->setTicker(QSharedPointer<QCPAxisTicker>(new IntegerTicker));
    canvas()->yAxis->setLabel(tr("Scale, of its beginning"));
    canvas()->yAxis->setTicker(QSharedPointer<QCPAxisTicker>(new SiTicker));
    for (std::size_t i = 0; i < std::size(bandEnds); ++i) {
        auto* graph = canvas()->addGraph();
        graph->setSelectable(QCP::stNone);
    }
    canvas()->graph(1)->setName(tr("5 to 95 %"));
    canvas()->graph(1)->setChannelFillGraph(canvas()->graph(0));
    canvas()->graph(3)->setName(tr("25 to 75 %"));
    canvas()->graph(3)->setChannelFillGraph(canvas()->graph(2));
    canvas()->graph(medianGraph)->setName(tr("Median"));
    for (const int shown : {medianGraph, 3, 1})
        canvas()->graph(shown)->addToLegend();
    placeLegendAbove(canvas(), 3);
    setHasData(false);  // the legend, too, waits for data
}

void StepSizePlot::setData(StepSizeData content)
{
    if (content == m_data)
        return;
    m_data = std::move(content);
    for (std::size_t i = 0; i < std::size(bandEnds); ++i) {
        QVector<double> steps, values;
        for (const auto& spread : m_data.spreads) {
            steps << static_cast<double>(spread.step);
            values << spread.*bandEnds[i];
        }
        canvas()->graph(static_cast<int>(i))->setData(steps, values, true);
    }
    setHasData(!m_data.spreads.empty());
    resetView();
    replot();
}

PlotTable StepSizePlot::table() const
{
    PlotTable table {
        {tr("Steps done"), tr("5 % (of the beginning)"), tr("25 %"), tr("Median"), tr("75 %"), tr("95 %")}, {}};
    for (const auto& spread : m_data.spreads)
        table.rows.append(
            {static_cast<qulonglong>(spread.step), spread.p5, spread.p25, spread.median, spread.p75, spread.p95});
    return table;
}

QString StepSizePlot::hoverText(QPointF position) const
{
    if (m_data.spreads.empty() || !canvas()->axisRect()->rect().contains(position.toPoint()))
        return {};
    const double place = canvas()->xAxis->pixelToCoord(position.x());
    const auto& nearest = *std::min_element(
        m_data.spreads.begin(), m_data.spreads.end(), [place](const StepSpread& a, const StepSpread& b) {
            return std::abs(static_cast<double>(a.step) - place) < std::abs(static_cast<double>(b.step) - place);
        });
    return tr("%1\nafter %2 steps\nmedian %3 of the beginning\nhalf of them %4 to %5, nine tenths %6 to %7")
        .arg(m_data.tensor, format::integer(nearest.step), format::number(nearest.median), format::number(nearest.p25),
            format::number(nearest.p75), format::number(nearest.p5), format::number(nearest.p95));
}

void StepSizePlot::applyTheme()
{
    Plot::applyTheme();
    const auto colors = theme();
    auto outer = colors.accentFill;
    outer.setAlphaF(outer.alphaF() * 0.5F);
    for (const int bound : {0, 1, 2, 3})
        canvas()->graph(bound)->setPen(Qt::NoPen);
    canvas()->graph(1)->setBrush(outer);
    canvas()->graph(3)->setBrush(colors.accentFill);
    canvas()->graph(medianGraph)->setPen(QPen(colors.accent, 1.8));
}

void StepSizePlot::resetView()
{
    double lowest = 1.0, highest = 1.0;
    for (const auto& spread : m_data.spreads) {
        lowest = std::min(lowest, spread.p5);
        highest = std::max(highest, spread.p95);
    }
    const double margin = std::max(0.02, 0.08 * (highest - lowest));
    const auto steps = static_cast<double>(std::max<std::uint64_t>(1, m_data.steps));
    canvas()->xAxis->setRange(-0.02 * steps, 1.02 * steps);
    canvas()->yAxis->setRange(lowest - margin, highest + margin);
}
