// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/depth_error_plot.h"

#include "widgets/plots/plot_style.h"
#include "widgets/plots/tickers.h"
#include "widgets/support/format_text.h"
#include "widgets/support/qcustomplot.h"

#include <algorithm>
#include <cmath>
#include <limits>

DepthErrorPlot::DepthErrorPlot(QWidget* parent)
    : Plot(parent)
    , m_graph(canvas()->addGraph())
{
    setDescription(tr("Error by depth"),
        tr("Signal of the residual stream over the error in it, behind the embedding and behind each block. Where the "
           "line rises the model repairs, where it falls error is added or grows."));
    setEmptyText(tr("No error reaches the residual stream"));
    canvas()->xAxis->setLabel(tr("Blocks passed"));
    canvas()->xAxis->setTicker(QSharedPointer<QCPAxisTicker>(new IntegerTicker));
    canvas()->yAxis->setLabel(tr("SQNR (dB)"));
    m_graph->setSelectable(QCP::stNone);
    setHasData(false);
}

void DepthErrorPlot::setData(std::vector<double> decibels)
{
    m_decibels = std::move(decibels);
    QVector<double> places, values;
    for (std::size_t i = 0; i < m_decibels.size(); ++i) {
        places << static_cast<double>(i);
        values << (std::isfinite(m_decibels[i]) ? m_decibels[i] : std::numeric_limits<double>::quiet_NaN());
    }
    m_graph->setData(places, values, true);
    setHasData(std::any_of(m_decibels.begin(), m_decibels.end(), [](double value) { return std::isfinite(value); }));
    resetView();
    replot();
}

QString DepthErrorPlot::place(std::size_t index)
{
    return index == 0 ? tr("embedding") : tr("block %1").arg(index - 1);
}

QString DepthErrorPlot::value(double decibels)
{
    return std::isfinite(decibels) ? format::decibels(decibels) : tr("no error");
}

PlotTable DepthErrorPlot::table() const
{
    PlotTable table;
    if (!hasData())
        return table;
    table.header << tr("Residual stream behind") << tr("SQNR (dB)");
    for (std::size_t i = 0; i < m_decibels.size(); ++i)
        table.rows << QVariantList {place(i), m_decibels[i]};
    return table;
}

QString DepthErrorPlot::hoverText(QPointF position) const
{
    if (!hasData() || !canvas()->axisRect()->rect().contains(position.toPoint()))
        return {};
    const double last = static_cast<double>(m_decibels.size() - 1);
    const double nearest = std::clamp(std::round(canvas()->xAxis->pixelToCoord(position.x())), 0.0, last);
    const auto index = static_cast<std::size_t>(nearest);
    return tr("Behind %1: %2").arg(place(index), value(m_decibels[index]));
}

void DepthErrorPlot::applyTheme()
{
    Plot::applyTheme();
    const auto color = theme().accent;
    m_graph->setPen(QPen(color, 1.6));
    m_graph->setScatterStyle(m_decibels.size() <= mostDots ? QCPScatterStyle(QCPScatterStyle::ssDisc, color, color, 5.0)
                                                           : QCPScatterStyle(QCPScatterStyle::ssNone));
}

void DepthErrorPlot::resetView()
{
    double lowest = std::numeric_limits<double>::infinity(), highest = -lowest;
    for (const double value : m_decibels)
        if (std::isfinite(value)) {
            lowest = std::min(lowest, value);
            highest = std::max(highest, value);
        }
    const double last = m_decibels.empty() ? 1.0 : static_cast<double>(m_decibels.size() - 1);
    canvas()->xAxis->setRange(-0.04 * last, 1.04 * last);
    if (lowest <= highest) {
        const double margin = std::max(1.0, 0.1 * (highest - lowest));
        canvas()->yAxis->setRange(lowest - margin, highest + margin);
    }
}
