// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/roofline_plot.h"

#include "widgets/plots/plot_style.h"
#include "widgets/plots/point_labels.h"
#include "widgets/plots/tickers.h"
#include "widgets/support/format_text.h"
#include "widgets/theme/fonts.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace {

bool drawable(const RooflineData::Point& point)
{
    return point.intensity > 0.0 && point.rate > 0.0;
}

}  // namespace

RooflinePlot::RooflinePlot(QWidget* parent)
    : Plot(parent)
    , m_labels(new PointLabels(canvas()))
{
    setDescription(tr("Roofline"),
        tr("Operations of a decode step under the limits of the device: on the slope memory decides, under a flat roof "
           "arithmetic."));
    setEmptyText(tr("Choose a device to see its roofline"));
    for (QCPAxis* axis : {canvas()->xAxis, canvas()->yAxis}) {
        axis->setScaleType(QCPAxis::stLogarithmic);
        axis->setTicker(QSharedPointer<QCPAxisTicker>(new DecadeTicker));
    }
    canvas()->xAxis->setLabel(tr("Arithmetic intensity (operations per byte)"));
    canvas()->yAxis->setLabel(tr("Operations per second (projected)"));
    placeLegendAbove(canvas(), 4);
}

void RooflinePlot::setData(RooflineData content)
{
    m_data = std::move(content);
    rebuild();
    setHasData(m_data.bandwidth > 0.0 && !m_data.roofs.empty());
    resetView();
    replot();
}

void RooflinePlot::rebuild()
{
    canvas()->clearPlottables();
    for (int i = canvas()->itemCount() - 1; i >= 0; --i) {
        if (canvas()->item(i)->clipToAxisRect())  // neither the base's empty text nor the labels
            canvas()->removeItem(i);
    }
    m_labels->labels.clear();
    m_labels->obstacles.clear();
    m_labels->font = scaledFont(font(), 0.9);
    if (m_data.bandwidth <= 0.0 || m_data.roofs.empty())
        return;
    const PlotTheme colors = theme();
    constexpr double far = 1e9, near = 1e-6;  // beyond any view: zooming out never shows an end
    double highest = 0.0;
    for (const auto& roof : m_data.roofs)
        highest = std::max(highest, roof.rate);
    const auto line = [&](double x0, double y0, double x1, double y1, Qt::PenStyle style) {
        auto* graph = new QCPGraph(canvas()->xAxis, canvas()->yAxis);
        graph->setData({x0, x1}, {y0, y1}, true);
        graph->setPen(QPen(colors.reference, 1.6, style));
        graph->setSelectable(QCP::stNone);
        graph->removeFromLegend();
    };
    line(near, near * m_data.bandwidth, highest / m_data.bandwidth, highest, Qt::SolidLine);
    for (const auto& roof : m_data.roofs) {
        line(roof.rate / m_data.bandwidth, roof.rate, far, roof.rate,
            roof.rate == highest ? Qt::SolidLine : Qt::DashLine);
        auto* name = new QCPItemText(canvas());
        name->setClipToAxisRect(true);
        name->position->setTypeX(QCPItemPosition::ptAxisRectRatio);
        name->position->setTypeY(QCPItemPosition::ptPlotCoords);
        name->position->setCoords(1.0, roof.rate);
        name->setPositionAlignment(Qt::AlignRight | Qt::AlignBottom);
        name->setPadding(QMargins(0, 0, 6, 1));
        name->setText(tr("%1: %2").arg(roof.label, format::si(roof.rate, tr("op/s"))));
        name->setFont(tabularFont(scaledFont(font(), 0.85)));
        name->setColor(colors.mutedText);
        name->setSelectable(false);
    }
    for (int series = 0; series < m_data.series.size(); ++series) {
        auto* graph = new QCPGraph(canvas()->xAxis, canvas()->yAxis);
        graph->setName(m_data.series[series]);
        graph->setLineStyle(QCPGraph::lsNone);
        const QColor color = series == 0 ? colors.original : colors.accent;
        graph->setPen(QPen(color));
        graph->setScatterStyle(QCPScatterStyle(series == 0 ? QCPScatterStyle::ssSquare : QCPScatterStyle::ssCircle,
            QPen(colors.background, 1), color, series == 0 ? 9 : 10));
        graph->setSelectable(QCP::stNone);
        for (const auto& point : m_data.points) {
            if (point.series == series && drawable(point))
                graph->addData(point.intensity, point.rate);
        }
    }
    // The recipe's operations are named first: where there is no room for all, they matter more.
    for (int series = static_cast<int>(m_data.series.size()) - 1; series >= 0; --series) {
        for (const auto& point : m_data.points) {
            if (point.series == series && drawable(point))
                m_labels->labels.push_back(
                    {{point.intensity, point.rate}, point.label, series == 0 ? colors.mutedText : colors.text});
        }
    }
    for (double x = near; x < highest / m_data.bandwidth; x *= 1.05)
        m_labels->obstacles.emplace_back(x, x * m_data.bandwidth);
}

PlotTable RooflinePlot::table() const
{
    PlotTable table;
    table.header << tr("Operation") << tr("Of") << tr("Operations per byte") << tr("Operations per second")
                 << tr("Seconds") << tr("Bound by");
    for (const auto& point : m_data.points) {
        table.rows << QVariantList {point.label, m_data.series.value(point.series), point.intensity, point.rate,
            point.seconds, point.memoryBound ? tr("memory") : tr("arithmetic")};
    }
    return table;
}

QPointF RooflinePlot::pointCenter(int point) const
{
    const auto& source = m_data.points.at(static_cast<std::size_t>(point));
    return {canvas()->xAxis->coordToPixel(source.intensity), canvas()->yAxis->coordToPixel(source.rate)};
}

QString RooflinePlot::hoverText(QPointF position) const
{
    QStringList texts;
    for (std::size_t i = 0; i < m_data.points.size(); ++i) {
        const auto& point = m_data.points[i];
        if (!drawable(point) || QLineF(pointCenter(static_cast<int>(i)), position).length() > 8.0)
            continue;
        texts << tr("<b>%1</b>, %2 (projected)<br>%3 operations per byte, %4<br>%5, bound by %6")
                     .arg(point.label.toHtmlEscaped(), m_data.series.value(point.series).toHtmlEscaped(),
                         format::number(point.intensity, 3), format::si(point.rate, tr("op/s")),
                         format::si(point.seconds, QStringLiteral("s")),
                         point.memoryBound ? tr("memory") : tr("arithmetic"));
    }
    return texts.join(QStringLiteral("<br>"));
}

void RooflinePlot::applyTheme()
{
    rebuild();
    Plot::applyTheme();
}

void RooflinePlot::resetView()
{
    double left = std::numeric_limits<double>::infinity(), right = 0.0, low = left, high = 0.0;
    for (const auto& roof : m_data.roofs) {
        right = std::max(right, roof.rate / m_data.bandwidth);
        left = std::min(left, roof.rate / m_data.bandwidth);
        high = std::max(high, roof.rate);
        low = std::min(low, roof.rate);
    }
    for (const auto& point : m_data.points) {
        if (!drawable(point))
            continue;
        left = std::min(left, point.intensity);
        right = std::max(right, point.intensity);
        low = std::min(low, point.rate);
        high = std::max(high, point.rate);
    }
    if (high <= 0.0)
        return;
    canvas()->xAxis->setRange(left / 4.0, right * 8.0);
    canvas()->yAxis->setRange(low / 4.0, high * 3.0);
}
