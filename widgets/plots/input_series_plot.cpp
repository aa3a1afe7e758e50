// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/input_series_plot.h"

#include "core/calibration/input_profile.h"
#include "widgets/plots/plot_style.h"
#include "widgets/plots/tickers.h"
#include "widgets/support/format_text.h"
#include "widgets/support/qcustomplot.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace {

constexpr double notKnown = std::numeric_limits<double>::quiet_NaN();

}  // namespace

InputSeriesPlot::InputSeriesPlot(const QString& axis, Scale scale, double limit, QWidget* parent)
    : Plot(parent)
    , m_axis(axis)
    , m_scale(scale)
    , m_limit(limit)
    , m_graph(canvas()->addGraph())
    , m_line(canvas()->addGraph())
{
    setEmptyText(tr("No inputs are known yet"));
    canvas()->xAxis->setLabel(tr("Inputs, in the order of the model"));
    canvas()->xAxis->setTicker(QSharedPointer<QCPAxisTicker>(new IntegerTicker));
    canvas()->yAxis->setLabel(axis);
    if (scale == Scale::Logarithmic) {
        canvas()->yAxis->setScaleType(QCPAxis::stLogarithmic);
        canvas()->yAxis->setTicker(QSharedPointer<QCPAxisTicker>(new DecadeTicker));
    }
    m_graph->setSelectable(QCP::stNone);
    m_line->setSelectable(QCP::stNone);
    setHasData(false);
}

bool InputSeriesPlot::isDrawn(double value) const
{
    return std::isfinite(value) && (m_scale == Scale::Linear || value > 0.0);
}

void InputSeriesPlot::setData(std::vector<Point> points)
{
    m_points = std::move(points);
    QVector<double> places, values;
    for (std::size_t i = 0; i < m_points.size(); ++i) {
        places << static_cast<double>(i + 1);
        values << (isDrawn(m_points[i].value) ? m_points[i].value : notKnown);
    }
    m_graph->setData(places, values, true);
    setHasData(std::any_of(m_points.begin(), m_points.end(), [this](const Point& p) { return isDrawn(p.value); }));
    applyTheme();
    resetView();
    replot();
}

PlotTable InputSeriesPlot::table() const
{
    PlotTable table;
    if (!hasData())
        return table;
    table.header << tr("Read by") << m_axis;
    for (const auto& point : m_points)
        table.rows << QVariantList {point.layer, point.value};
    return table;
}

QString InputSeriesPlot::hoverText(QPointF position) const
{
    if (!hasData() || !canvas()->axisRect()->rect().contains(position.toPoint()))
        return {};
    const double place = std::round(canvas()->xAxis->pixelToCoord(position.x())) - 1.0;
    const auto index = static_cast<std::size_t>(std::clamp(place, 0.0, static_cast<double>(m_points.size() - 1)));
    const auto& point = m_points[index];
    return tr("%1: %2").arg(point.layer, std::isfinite(point.value) ? valueText(point.value) : tr("not known"));
}

void InputSeriesPlot::applyTheme()
{
    Plot::applyTheme();
    const auto colors = theme();
    m_graph->setPen(QPen(colors.accent, 1.6));
    m_graph->setScatterStyle(m_points.size() <= mostDots
            ? QCPScatterStyle(QCPScatterStyle::ssDisc, colors.accent, colors.accent, 5.0)
            : QCPScatterStyle(QCPScatterStyle::ssNone));
    m_line->setPen(QPen(colors.original, 1.4, Qt::DashLine));
}

void InputSeriesPlot::resetView()
{
    const double last = std::max(2.0, static_cast<double>(m_points.size()));
    const double margin = 0.03 * (last - 1.0);
    canvas()->xAxis->setRange(1.0 - margin, last + margin);
    double lowest = std::numeric_limits<double>::infinity(), highest = -lowest;
    const auto take = [&](double value) {
        if (isDrawn(value)) {
            lowest = std::min(lowest, value);
            highest = std::max(highest, value);
        }
    };
    for (const auto& point : m_points)
        take(point.value);
    take(m_limit);
    if (isDrawn(m_limit))
        m_line->setData({1.0 - margin, last + margin}, {m_limit, m_limit}, true);
    if (!(lowest <= highest))
        return;
    if (m_scale == Scale::Logarithmic) {
        const double room = std::max(1.15, std::pow(highest / lowest, 0.08));
        canvas()->yAxis->setRange(lowest / room, highest * room);
    } else {
        canvas()->yAxis->setRange(std::min(0.0, lowest), highest > 0.0 ? 1.08 * highest : 1.0);
    }
}

LoudestChannelPlot::LoudestChannelPlot(QWidget* parent)
    : InputSeriesPlot(tr("Loudest channel (× median)"), Scale::Logarithmic, quantloupe::inputOutlierRatio, parent)
{
    setDescription(tr("Loudest channel of the inputs"),
        tr("How many times the median channel's largest value the loudest one gets. Above the dashed line a channel is "
           "called an outlier: with one 8-bit scale for all of a token it leaves the others few steps."));
}

QString LoudestChannelPlot::valueText(double value) const
{
    return tr("%1 × the median channel").arg(format::number(value, 3));
}

MovedMomentsPlot::MovedMomentsPlot(QWidget* parent)
    : InputSeriesPlot(tr("Still moved (%)"), Scale::Linear, notKnown, parent)
{
    setDescription(tr("How far the figures still move"),
        tr("By how much the channels' mean squares have changed since half of the tokens were seen, or since the text "
           "before. Where it is small, more text would change little."));
}

QString MovedMomentsPlot::valueText(double value) const
{
    return tr("moved by %1 %").arg(format::number(value, 3));
}
