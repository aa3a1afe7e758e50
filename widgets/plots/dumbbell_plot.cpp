// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/dumbbell_plot.h"

#include "widgets/plots/metric_text.h"
#include "widgets/plots/plot_style.h"
#include "widgets/plots/tickers.h"
#include "widgets/support/qcustomplot.h"

#include <algorithm>
#include <cmath>
#include <limits>

DumbbellPlot::DumbbellPlot(QWidget* parent)
    : Plot(parent)
{
    setDescription(tr("Comparison"), tr("Two figures of each tensor, joined by a line."));
    setEmptyText(tr("Nothing to compare yet"));
    listDownward(canvas());
    canvas()->xAxis->setTicker(QSharedPointer<QCPAxisTicker>(new SiTicker));
    placeLegendAbove(canvas(), 2);
}

void DumbbellPlot::setData(DumbbellData content)
{
    m_data = std::move(content);
    rebuild();
    setHasData(!m_data.items.empty());
    resetView();
    replot();
}

void DumbbellPlot::setSelected(const QStringList& tensors)
{
    m_selected = tensors;
    rebuild();
    replot();
}

void DumbbellPlot::rebuild()
{
    canvas()->clearPlottables();
    const PlotTheme colors = theme();
    const QSharedPointer<QCPAxisTickerText> labels(new QCPAxisTickerText);
    constexpr double nothing = std::numeric_limits<double>::quiet_NaN();
    // A curve that is interrupted between tensors: one plottable for all lines of a kind.
    QVector<double> lineX, lineY, chosenX, chosenY, first, firstAt, second, secondAt;
    for (std::size_t i = 0; i < m_data.items.size(); ++i) {
        const auto& item = m_data.items[i];
        const double position = static_cast<double>(i);
        labels->addTick(position, item.label);
        if (std::isfinite(item.first)) {
            first << item.first;
            firstAt << position;
        }
        if (std::isfinite(item.second)) {
            second << item.second;
            secondAt << position;
        }
        if (!std::isfinite(item.first) || !std::isfinite(item.second))
            continue;
        const bool selected = m_selected.contains(item.tensor);
        (selected ? chosenX : lineX) << item.first << item.second << nothing;
        (selected ? chosenY : lineY) << position << position << nothing;
    }
    const auto addCurve = [&](const QVector<double>& x, const QVector<double>& y) {
        auto* curve = new QCPCurve(canvas()->xAxis, canvas()->yAxis);
        curve->setData(x, y);
        curve->setSelectable(QCP::stNone);
        curve->setLineStyle(QCPCurve::lsNone);
        return curve;
    };
    const auto addLines = [&](const QVector<double>& x, const QVector<double>& y, const QPen& pen) {
        auto* lines = addCurve(x, y);
        lines->setLineStyle(QCPCurve::lsLine);
        lines->setPen(pen);
        lines->removeFromLegend();
    };
    const auto addDots = [&](const QVector<double>& x, const QVector<double>& y, const QString& name,
                             const QCPScatterStyle& style) {
        auto* dots = addCurve(x, y);
        dots->setScatterStyle(style);
        dots->setName(name);
    };
    addLines(lineX, lineY, QPen(colors.axis, 2));
    addLines(chosenX, chosenY, QPen(colors.text, 3));
    // Told apart by shape as well as by colour.
    addDots(first, firstAt, m_data.firstName,
        QCPScatterStyle(QCPScatterStyle::ssDisc, QPen(colors.accent), QBrush(colors.accent), 9));
    addDots(second, secondAt, m_data.secondName,
        QCPScatterStyle(QCPScatterStyle::ssDiamond, QPen(colors.series[0], 2), QBrush(colors.background), 10));
    canvas()->yAxis->setTicker(labels);
    canvas()->xAxis->setLabel(metricAxis(m_data.metric));
}

PlotTable DumbbellPlot::table() const
{
    PlotTable table;
    table.header << tr("Tensor") << m_data.firstName << tr("%1: %2").arg(m_data.firstName, metricAxis(m_data.metric))
                 << m_data.secondName << tr("%1: %2").arg(m_data.secondName, metricAxis(m_data.metric));
    for (const auto& item : m_data.items)
        table.rows << QVariantList {item.tensor, item.firstNote, item.first, item.secondNote, item.second};
    return table;
}

QPointF DumbbellPlot::pointOf(int item) const
{
    const auto& shown = m_data.items.at(static_cast<std::size_t>(item));
    return {canvas()->xAxis->coordToPixel(shown.first), canvas()->yAxis->coordToPixel(item)};
}

int DumbbellPlot::itemAt(QPointF position) const
{
    return hasData() ? listedRowAt(canvas(), position, m_data.items.size()) : -1;
}

QString DumbbellPlot::hoverText(QPointF position) const
{
    const int index = itemAt(position);
    if (index < 0)
        return {};
    const auto& item = m_data.items[static_cast<std::size_t>(index)];
    const auto line = [this](const QString& name, const QString& note, double value) {
        const bool isLossless = higherIsBetter(m_data.metric) && std::isinf(value) && value > 0.0;
        const auto shown = std::isnan(value) ? tr("not measured")
            : isLossless                     ? tr("lossless")
                                             : metricValue(m_data.metric, value);
        return QStringLiteral("<br>%1: %2").arg(name.toHtmlEscaped(), shown)
            + (note.isEmpty() ? QString() : QStringLiteral(" (%1)").arg(note.toHtmlEscaped()));
    };
    return QStringLiteral("<b>%1</b>").arg(item.tensor.toHtmlEscaped())
        + line(m_data.firstName, item.firstNote, item.first) + line(m_data.secondName, item.secondNote, item.second);
}

QString DumbbellPlot::tensorAt(QPointF position) const
{
    const int item = itemAt(position);
    return item < 0 ? QString() : m_data.items[static_cast<std::size_t>(item)].tensor;
}

void DumbbellPlot::applyTheme()
{
    rebuild();
    Plot::applyTheme();
    canvas()->yAxis->setTickLength(0, 0);
    canvas()->yAxis->setTickLabelColor(theme().text);
}

void DumbbellPlot::resetView()
{
    double highest = -std::numeric_limits<double>::infinity(), lowest = -highest;
    for (const auto& item : m_data.items)
        for (const double value : {item.first, item.second})
            if (std::isfinite(value)) {
                highest = std::max(highest, value);
                lowest = std::min(lowest, value);
            }
    if (lowest > highest)
        lowest = highest = 0.0;
    const double margin = std::max(0.05 * (highest - lowest), 0.5);
    canvas()->xAxis->setRange(lowest - margin, highest + margin);
    // As many lines as labels have room for; dragging shows the others.
    constexpr int surroundings = 4;  // lines: legend, ticks and axis title
    const auto room = canvas()->height() / std::max(1, fontMetrics().lineSpacing()) - surroundings;
    const auto shown = std::min<double>(static_cast<double>(m_data.items.size()), std::max(4, room));
    canvas()->yAxis->setRange(-0.6, std::max(1.0, shown) - 0.4);
}

void DumbbellPlot::resizeEvent(QResizeEvent* event)
{
    Plot::resizeEvent(event);
    resetView();
    replot();
}
