// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/role_box_plot.h"

#include "widgets/plots/metric_text.h"
#include "widgets/plots/tickers.h"
#include "widgets/support/qcustomplot.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace {

/// Spreads dots sideways, always the same way: the golden-ratio sequence never lines up.
double spread(std::size_t index)
{
    const double golden = 0.6180339887498949 * static_cast<double>(index + 1);
    return (golden - std::floor(golden) - 0.5) * 0.44;
}

}  // namespace

RoleBoxPlot::RoleBoxPlot(QWidget* parent)
    : Plot(parent)
{
    canvas()->axisRect()->insetLayout()->remove(canvas()->legend);
    setDescription(tr("Error by role"), tr("A box per role: median, quartiles and range; every dot is a tensor."));
    setEmptyText(tr("Analyze the model to compare roles"));
    canvas()->xAxis->setSubTicks(false);
    canvas()->xAxis->grid()->setVisible(false);
    canvas()->axisRect()->setRangeDrag(Qt::Vertical);
    canvas()->axisRect()->setRangeZoom(Qt::Vertical);
}

void RoleBoxPlot::setData(RoleBoxData content)
{
    m_data = std::move(content);
    rebuild();
    setHasData(!m_dots.empty());
    resetView();
    replot();
}

void RoleBoxPlot::setSelected(const QStringList& tensors)
{
    m_selected = tensors;
    rebuild();
    replot();
}

void RoleBoxPlot::rebuild()
{
    canvas()->clearPlottables();
    m_dots.clear();
    const PlotTheme colors = theme();
    const bool logarithmic = isLogarithmic(m_data.metric);
    canvas()->yAxis->setScaleType(logarithmic ? QCPAxis::stLogarithmic : QCPAxis::stLinear);
    canvas()->yAxis->setTicker(
        QSharedPointer<QCPAxisTicker>(logarithmic ? static_cast<QCPAxisTicker*>(new DecadeTicker) : new SiTicker));
    canvas()->yAxis->setLabel(metricAxis(m_data.metric));
    canvas()->xAxis->setLabel(m_data.scheme.isEmpty() ? QString() : tr("Role, under %1").arg(m_data.scheme));

    const QSharedPointer<QCPAxisTickerText> labels(new QCPAxisTickerText);
    QVector<double> selectedX, selectedY;
    for (std::size_t i = 0; i < m_data.boxes.size(); ++i) {
        const RoleBoxData::Box& box = m_data.boxes[i];
        const double position = static_cast<double>(i);
        labels->addTick(position, roleText(box.role));
        const QColor color = roleColor(box.role, colors.dark);
        QColor fill = color;
        fill.setAlphaF(0.22F);
        // A box about one or two tensors would only hide them.
        if (box.values.size() > 2 && drawable(m_data.metric, box.numbers.minimum)) {
            auto* drawn = new QCPStatisticalBox(canvas()->xAxis, canvas()->yAxis);
            drawn->addData(position, box.numbers.minimum, box.numbers.lowerQuartile, box.numbers.median,
                box.numbers.upperQuartile, box.numbers.maximum);
            drawn->setWidth(0.58);
            drawn->setWhiskerWidth(0.24);
            drawn->setBrush(fill);
            drawn->setPen(QPen(color, 1.2));
            drawn->setWhiskerPen(QPen(color, 1.2));
            drawn->setWhiskerBarPen(QPen(color, 1.2));
            drawn->setMedianPen(QPen(colors.text, 2, Qt::SolidLine, Qt::FlatCap));
            drawn->setSelectable(QCP::stNone);
        }
        QVector<double> xs, ys;
        for (std::size_t k = 0; k < box.values.size(); ++k) {
            if (!drawable(m_data.metric, box.values[k]))
                continue;
            const double x = position + (box.values.size() > 2 ? spread(k) : 0.0);
            xs << x;
            ys << box.values[k];
            m_dots.push_back({box.tensors[static_cast<qsizetype>(k)], x, box.values[k]});
            if (m_selected.contains(box.tensors[static_cast<qsizetype>(k)])) {
                selectedX << x;
                selectedY << box.values[k];
            }
        }
        auto* dots = new QCPGraph(canvas()->xAxis, canvas()->yAxis);
        dots->setData(xs, ys);
        dots->setLineStyle(QCPGraph::lsNone);
        dots->setScatterStyle(QCPScatterStyle(QCPScatterStyle::ssDisc, color, color, xs.size() > 200 ? 3.0 : 4.5));
        dots->setSelectable(QCP::stNone);
    }
    canvas()->xAxis->setTicker(labels);
    canvas()->xAxis->setTickLabelRotation(m_data.boxes.size() > 7 ? -35 : 0);
    auto* marks = new QCPGraph(canvas()->xAxis, canvas()->yAxis);
    marks->setData(selectedX, selectedY);
    marks->setLineStyle(QCPGraph::lsNone);
    marks->setScatterStyle(QCPScatterStyle(QCPScatterStyle::ssCircle, QPen(colors.text, 2), Qt::NoBrush, 10));
    marks->setSelectable(QCP::stNone);
}

PlotTable RoleBoxPlot::table() const
{
    PlotTable table;
    table.header << tr("Role") << tr("Tensors") << tr("Minimum") << tr("Lower quartile") << tr("Median")
                 << tr("Upper quartile") << tr("Maximum");
    for (const RoleBoxData::Box& box : m_data.boxes) {
        table.rows << QVariantList {roleText(box.role), static_cast<int>(box.values.size()), box.numbers.minimum,
            box.numbers.lowerQuartile, box.numbers.median, box.numbers.upperQuartile, box.numbers.maximum};
    }
    return table;
}

QPointF RoleBoxPlot::dotCenter(const QString& tensor) const
{
    const auto dot =
        std::find_if(m_dots.begin(), m_dots.end(), [&](const Dot& candidate) { return candidate.tensor == tensor; });
    return dot == m_dots.end() ? QPointF()
                               : QPointF(canvas()->xAxis->coordToPixel(dot->x), canvas()->yAxis->coordToPixel(dot->y));
}

const RoleBoxPlot::Dot* RoleBoxPlot::dotAt(QPointF position) const
{
    const Dot* nearest = nullptr;
    double best = 9.0;  // pixels
    for (const Dot& dot : m_dots) {
        const QPointF away =
            QPointF(canvas()->xAxis->coordToPixel(dot.x), canvas()->yAxis->coordToPixel(dot.y)) - position;
        if (const double distance = std::hypot(away.x(), away.y()); distance < best) {
            best = distance;
            nearest = &dot;
        }
    }
    return nearest;
}

QString RoleBoxPlot::hoverText(QPointF position) const
{
    if (const Dot* dot = dotAt(position))
        return tr("<b>%1</b><br>%2: %3")
            .arg(dot->tensor.toHtmlEscaped(), metricTitle(m_data.metric), metricValue(m_data.metric, dot->y));
    const auto index = std::lround(canvas()->xAxis->pixelToCoord(position.x()));
    if (index < 0 || index >= static_cast<long>(m_data.boxes.size())
        || !canvas()->axisRect()->rect().contains(position.toPoint()))
        return {};
    const RoleBoxData::Box& box = m_data.boxes[static_cast<std::size_t>(index)];
    return tr("<b>%1</b><br>Tensors: %2<br>Median %3")
        .arg(roleText(box.role), QString::number(box.values.size()), metricValue(m_data.metric, box.numbers.median));
}

QString RoleBoxPlot::tensorAt(QPointF position) const
{
    const Dot* dot = dotAt(position);
    return dot ? dot->tensor : QString();
}

void RoleBoxPlot::applyTheme()
{
    rebuild();
    Plot::applyTheme();
    canvas()->xAxis->setTickLength(0, 0);
    canvas()->xAxis->setTickLabelColor(theme().text);
}

void RoleBoxPlot::resetView()
{
    double lowest = std::numeric_limits<double>::infinity(), highest = -lowest;
    for (const Dot& dot : m_dots) {
        lowest = std::min(lowest, dot.y);
        highest = std::max(highest, dot.y);
    }
    canvas()->xAxis->setRange(-0.6, std::max<double>(1.0, static_cast<double>(m_data.boxes.size())) - 0.4);
    if (m_dots.empty())
        return;
    if (isLogarithmic(m_data.metric)) {
        canvas()->yAxis->setRange(lowest / 1.6, highest * 1.6);
    } else {
        const double margin = std::max(0.06 * (highest - lowest), 0.5);
        canvas()->yAxis->setRange(lowest - margin, highest + margin);
    }
}
