// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/depth_lines_plot.h"

#include "widgets/plots/metric_text.h"
#include "widgets/plots/plot_style.h"
#include "widgets/plots/tickers.h"
#include "widgets/support/qcustomplot.h"

#include <algorithm>
#include <cmath>
#include <limits>

DepthLinesPlot::DepthLinesPlot(QWidget* parent)
    : Plot(parent)
{
    setDescription(tr("Error by depth"), tr("Error over the blocks of the model under one scheme, a line per role."));
    setEmptyText(tr("Analyze the model to see its error over depth"));
    canvas()->xAxis->setTicker(QSharedPointer<QCPAxisTicker>(new IntegerTicker));
    canvas()->xAxis->grid()->setVisible(false);
    placeLegendAbove(canvas(), 7);
}

void DepthLinesPlot::setData(DepthLinesData content)
{
    m_data = std::move(content);
    rebuild();
    setHasData(
        std::any_of(m_data.lines.begin(), m_data.lines.end(), [](const auto& line) { return !line.points.empty(); }));
    resetView();
    replot();
}

void DepthLinesPlot::setSelected(const QStringList& tensors)
{
    m_selected = tensors;
    rebuild();
    replot();
}

void DepthLinesPlot::rebuild()
{
    canvas()->clearPlottables();
    const PlotTheme colors = theme();
    const bool logarithmic = isLogarithmic(m_data.metric);
    canvas()->yAxis->setScaleType(logarithmic ? QCPAxis::stLogarithmic : QCPAxis::stLinear);
    canvas()->yAxis->setTicker(
        QSharedPointer<QCPAxisTicker>(logarithmic ? static_cast<QCPAxisTicker*>(new DecadeTicker) : new SiTicker));
    canvas()->yAxis->setLabel(metricAxis(m_data.metric));
    canvas()->xAxis->setLabel(m_data.scheme.isEmpty() ? tr("Block") : tr("Block, under %1").arg(m_data.scheme));
    QVector<double> selectedX, selectedY;
    for (const DepthLinesData::Line& line : m_data.lines) {
        auto* graph = new QCPGraph(canvas()->xAxis, canvas()->yAxis);
        graph->setName(roleText(line.role));
        const QColor color = roleColor(line.role, colors.dark);
        graph->setPen(QPen(color, 1.6));
        graph->setSelectable(QCP::stNone);
        // With a hundred blocks dots would hide the lines.
        if (line.points.size() <= 48)
            graph->setScatterStyle(QCPScatterStyle(QCPScatterStyle::ssDisc, color, color, 4.5));
        QVector<double> xs, ys;
        for (const DepthLinesData::Point& point : line.points) {
            xs << point.block;
            ys << (drawable(m_data.metric, point.value) ? point.value : std::numeric_limits<double>::quiet_NaN());
            if (m_selected.contains(point.tensor) && drawable(m_data.metric, point.value)) {
                selectedX << point.block;
                selectedY << point.value;
            }
        }
        graph->setData(xs, ys, true);
    }
    auto* marks = new QCPGraph(canvas()->xAxis, canvas()->yAxis);
    marks->setData(selectedX, selectedY);
    marks->setLineStyle(QCPGraph::lsNone);
    marks->setScatterStyle(QCPScatterStyle(QCPScatterStyle::ssCircle, QPen(colors.text, 2), Qt::NoBrush, 10));
    marks->setSelectable(QCP::stNone);
    marks->removeFromLegend();
}

PlotTable DepthLinesPlot::table() const
{
    PlotTable table;
    table.header << tr("Block") << tr("Role") << tr("Tensor") << metricAxis(m_data.metric);
    for (const DepthLinesData::Line& line : m_data.lines) {
        for (const DepthLinesData::Point& point : line.points)
            table.rows << QVariantList {point.block, roleText(line.role), point.tensor, point.value};
    }
    return table;
}

QPointF DepthLinesPlot::pixel(const DepthLinesData::Point& point) const
{
    return {canvas()->xAxis->coordToPixel(point.block), canvas()->yAxis->coordToPixel(point.value)};
}

QPointF DepthLinesPlot::pointCenter(const QString& tensor) const
{
    for (const DepthLinesData::Line& line : m_data.lines) {
        for (const DepthLinesData::Point& point : line.points) {
            if (point.tensor == tensor)
                return pixel(point);
        }
    }
    return {};
}

const DepthLinesData::Point* DepthLinesPlot::pointAt(QPointF position) const
{
    const DepthLinesData::Point* nearest = nullptr;
    double best = 10.0;  // pixels
    for (const DepthLinesData::Line& line : m_data.lines) {
        for (const DepthLinesData::Point& point : line.points) {
            if (!drawable(m_data.metric, point.value))
                continue;
            const QPointF away = pixel(point) - position;
            if (const double distance = std::hypot(away.x(), away.y()); distance < best) {
                best = distance;
                nearest = &point;
            }
        }
    }
    return nearest;
}

QString DepthLinesPlot::hoverText(QPointF position) const
{
    const DepthLinesData::Point* point = pointAt(position);
    if (!point)
        return {};
    return tr("<b>%1</b><br>%2: %3")
        .arg(point->tensor.toHtmlEscaped(), metricTitle(m_data.metric), metricValue(m_data.metric, point->value));
}

QString DepthLinesPlot::tensorAt(QPointF position) const
{
    const DepthLinesData::Point* point = pointAt(position);
    return point ? point->tensor : QString();
}

void DepthLinesPlot::applyTheme()
{
    rebuild();
    Plot::applyTheme();
}

void DepthLinesPlot::resetView()
{
    double lowest = std::numeric_limits<double>::infinity(), highest = -lowest, deepest = 0.0;
    for (const DepthLinesData::Line& line : m_data.lines) {
        for (const DepthLinesData::Point& point : line.points) {
            deepest = std::max(deepest, static_cast<double>(point.block));
            if (!drawable(m_data.metric, point.value))
                continue;
            lowest = std::min(lowest, point.value);
            highest = std::max(highest, point.value);
        }
    }
    canvas()->xAxis->setRange(-0.03 * (deepest + 1.0) - 0.1, deepest * 1.03 + 0.13);
    if (lowest > highest)
        return;
    if (isLogarithmic(m_data.metric)) {
        canvas()->yAxis->setRange(lowest / 1.4, highest * 1.4);
    } else {
        const double margin = std::max(0.06 * (highest - lowest), 0.5);
        canvas()->yAxis->setRange(lowest - margin, highest + margin);
    }
}
