// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/trade_off_plot.h"

#include "widgets/plots/metric_text.h"
#include "widgets/plots/plot_style.h"
#include "widgets/plots/point_labels.h"
#include "widgets/plots/tickers.h"
#include "widgets/support/format_text.h"
#include "widgets/theme/fonts.h"

#include <QApplication>
#include <QMenu>

#include <algorithm>
#include <cmath>
#include <limits>

namespace {

bool hasPlace(const TradeOffData::Place& place)
{
    return std::isfinite(place.error) && place.error > 0.0;
}

/// What the summed metric is called: of the whole model, weight errors are relative to the weights.
QString errorTitle(quantloupe::ErrorMetric metric)
{
    return metric == quantloupe::ErrorMetric::ModelError
        ? QCoreApplication::translate("TradeOffPlot", "Relative weight error")
        : QCoreApplication::translate("TradeOffPlot", "%1, summed (nats per token)").arg(metricTitle(metric));
}

QString described(const TradeOffData::Place& place, const QString& title, quantloupe::ErrorMetric metric)
{
    return QCoreApplication::translate("TradeOffPlot", "<b>%1</b><br>%2, %3<br>%4 %5")
        .arg(title.toHtmlEscaped(), format::bytes(static_cast<std::uint64_t>(place.bytes)),
            format::bitsPerWeight(place.bitsPerWeight), errorTitle(metric), format::number(place.error, 3));
}

}  // namespace

TradeOffPlot::TradeOffPlot(QWidget* parent)
    : Plot(parent)
    , m_frontier(canvas()->addGraph())
    , m_uniform(canvas()->addGraph())
    , m_ring(canvas()->addGraph())
    , m_labels(new PointLabels(canvas()))
{
    setDescription(tr("Trade-off"),
        tr("Size of the whole model against its error. Points are one scheme for everything, the line mixes "
           "schemes, the "
           "ring is the current recipe."));
    setEmptyText(tr("Analyze the model under two schemes or more to see the trade-off"));
    canvas()->xAxis->setLabel(tr("Size of the weights"));
    canvas()->xAxis->setTicker(QSharedPointer<QCPAxisTicker>(new ByteTicker));
    canvas()->xAxis->ticker()->setTickCount(4);
    canvas()->xAxis2->setVisible(true);
    canvas()->xAxis2->setLabel(tr("Bits per weight"));
    canvas()->xAxis2->setTicker(QSharedPointer<QCPAxisTicker>(new SiTicker));
    canvas()->yAxis->setScaleType(QCPAxis::stLogarithmic);
    canvas()->yAxis->setTicker(QSharedPointer<QCPAxisTicker>(new DecadeTicker));
    canvas()->yAxis->setLabel(errorTitle(m_data.metric));
    m_frontier->setName(tr("Mixed precision"));
    m_uniform->setName(tr("One scheme for everything"));
    m_uniform->setLineStyle(QCPGraph::lsNone);
    m_ring->setName(tr("Current recipe"));
    m_ring->setLineStyle(QCPGraph::lsNone);
    for (QCPGraph* graph : {m_frontier, m_uniform, m_ring})
        graph->setSelectable(QCP::stNone);
    placeLegendAbove(canvas(), 3);
    canvas()->legend->setIconSize(18, 18);  // the ring is larger than other signs

    // The upper axis shows the same sizes per weight; its scale follows from any place of the picture.
    connect(canvas()->xAxis, qOverload<const QCPRange&>(&QCPAxis::rangeChanged), this, [this](const QCPRange& range) {
        for (const auto* places : {&m_data.frontier, &m_data.uniform}) {
            if (!places->empty() && places->back().bytes > 0.0) {
                const double bitsPerByte = places->back().bitsPerWeight / places->back().bytes;
                canvas()->xAxis2->setRange(range.lower * bitsPerByte, range.upper * bitsPerByte);
                return;
            }
        }
    });
    connect(canvas(), &QCustomPlot::mousePress, this, [this](QMouseEvent* event) {
        if (event->button() == Qt::LeftButton)
            press(event->position());
    });
    connect(canvas(), &QCustomPlot::mouseMove, this, [this](QMouseEvent* event) {
        if (event->buttons() & Qt::LeftButton)
            drag(event->position());
    });
    connect(canvas(), &QCustomPlot::mouseRelease, this, [this](QMouseEvent*) { release(); });
}

void TradeOffPlot::setData(TradeOffData content)
{
    const auto outline = [](const TradeOffData& of) {
        std::vector<double> sizes;
        for (const auto& place : of.uniform)
            sizes.push_back(place.bytes);
        return sizes;
    };
    const bool same = hasData() && outline(content) == outline(m_data);
    m_data = std::move(content);
    canvas()->yAxis->setLabel(errorTitle(m_data.metric));
    rebuild();
    const bool any = std::any_of(m_data.uniform.begin(), m_data.uniform.end(), hasPlace)
        || std::any_of(m_data.frontier.begin(), m_data.frontier.end(), hasPlace);
    setHasData(any);
    // A picture that somebody zoomed stays where it is while figures fill in.
    if (!same || m_fitted == shownEdges())
        resetView();
    replot();
}

void TradeOffPlot::setCurrent(const std::optional<TradeOffData::Place>& current)
{
    m_data.current = current;
    m_ring->data()->clear();
    if (current && hasPlace(*current))
        m_ring->addData(current->bytes, current->error);
    // A recipe beyond the edge widens a view that nobody has zoomed, once the mouse lets go of the budget.
    if (!m_dragging && m_ring->dataCount() > 0 && m_fitted == shownEdges()
        && !(canvas()->xAxis->range().contains(current->bytes) && canvas()->yAxis->range().contains(current->error)))
        resetView();
    replot();
}

void TradeOffPlot::rebuild()
{
    const PlotTheme colors = theme();
    m_labels->labels.clear();
    m_labels->obstacles.clear();
    m_labels->font = tabularFont(scaledFont(font(), 0.9));
    m_frontier->data()->clear();
    m_uniform->data()->clear();
    for (const auto& place : m_data.frontier) {
        if (!hasPlace(place))
            continue;
        m_frontier->addData(place.bytes, place.error);
        m_labels->obstacles.emplace_back(place.bytes, place.error);
    }
    for (const auto& place : m_data.uniform) {
        if (!hasPlace(place))
            continue;
        m_uniform->addData(place.bytes, place.error);
        m_labels->labels.push_back({{place.bytes, place.error}, place.label, colors.text});
    }
    setCurrent(m_data.current);
}

PlotTable TradeOffPlot::table() const
{
    PlotTable table;
    table.header << tr("Point") << tr("Size (bytes)") << tr("Bits per weight") << errorTitle(m_data.metric);
    const auto add = [&](const QString& name, const TradeOffData::Place& place) {
        table.rows << QVariantList {name, place.bytes, place.bitsPerWeight, place.error};
    };
    for (const auto& place : m_data.uniform)
        add(place.label, place);
    for (const auto& place : m_data.frontier)
        add(tr("mixed precision"), place);
    if (m_data.current)
        add(tr("current recipe"), *m_data.current);
    return table;
}

QPointF TradeOffPlot::pixelOf(const TradeOffData::Place& place) const
{
    return {canvas()->xAxis->coordToPixel(place.bytes), canvas()->yAxis->coordToPixel(place.error)};
}

const TradeOffData::Place* TradeOffPlot::uniformAt(QPointF position) const
{
    const TradeOffData::Place* nearest = nullptr;
    double best = 9.0;  // pixels
    for (const auto& place : m_data.uniform) {
        if (!hasPlace(place))
            continue;
        const QPointF away = pixelOf(place) - position;
        if (const double distance = std::hypot(away.x(), away.y()); distance < best) {
            best = distance;
            nearest = &place;
        }
    }
    return nearest;
}

std::optional<std::size_t> TradeOffPlot::frontierAt(QPointF position, double tolerance) const
{
    std::optional<std::size_t> nearest;
    double best = tolerance;
    for (std::size_t i = 0; i < m_data.frontier.size(); ++i) {
        if (!hasPlace(m_data.frontier[i]))
            continue;
        const QPointF away = pixelOf(m_data.frontier[i]) - position;
        if (const double distance = std::hypot(away.x(), away.y()); distance < best) {
            best = distance;
            nearest = i;
        }
    }
    return nearest;
}

QString TradeOffPlot::hoverText(QPointF position) const
{
    if (m_data.current && hasPlace(*m_data.current)) {
        const QPointF away = pixelOf(*m_data.current) - position;
        if (std::hypot(away.x(), away.y()) < 10.0)
            return described(*m_data.current, tr("Current recipe"), m_data.metric)
                + tr("<br>Drag to change the budget");
    }
    if (const auto* place = uniformAt(position))
        return described(*place, place->label, m_data.metric) + tr("<br>Click to adopt");
    if (const auto point = frontierAt(position, 10.0))
        return described(m_data.frontier[*point], tr("Mixed precision"), m_data.metric)
            + tr("<br>Drag to change the budget");
    return {};
}

void TradeOffPlot::press(QPointF position)
{
    m_pressed = position;
    m_dragging = false;
    const bool onRing =
        m_data.current && hasPlace(*m_data.current) && QLineF(pixelOf(*m_data.current), position).length() < 12.0;
    m_mayDrag = hasData() && !m_data.frontier.empty() && (onRing || frontierAt(position, 12.0));
    // What is taken hold of moves; the picture stays.
    canvas()->setInteraction(QCP::iRangeDrag, !m_mayDrag);
}

void TradeOffPlot::drag(QPointF position)
{
    if (!m_mayDrag || (!m_dragging && (position - m_pressed).manhattanLength() < QApplication::startDragDistance()))
        return;
    m_dragging = true;
    const double bytes = std::clamp(
        canvas()->xAxis->pixelToCoord(position.x()), m_data.frontier.front().bytes, m_data.frontier.back().bytes);
    Q_EMIT budgetDragged(static_cast<quint64>(std::llround(bytes)));
}

void TradeOffPlot::release()
{
    canvas()->setInteraction(QCP::iRangeDrag, true);
    m_mayDrag = false;
    if (std::exchange(m_dragging, false))
        Q_EMIT budgetDragFinished();
}

void TradeOffPlot::clicked(QPointF position)
{
    if (const auto* place = uniformAt(position)) {
        const QString label = place->label;  // adopting replaces the data
        Q_EMIT pointAdopted(label);
    } else if (const auto point = frontierAt(position, 8.0)) {
        Q_EMIT budgetDragged(static_cast<quint64>(m_data.frontier[*point].bytes));
        Q_EMIT budgetDragFinished();
    }
}

void TradeOffPlot::extendMenu(QMenu* menu)
{
    QMenu* adopt = menu->addMenu(tr("&Adopt"));
    for (const auto& place : m_data.uniform)
        adopt->addAction(place.label, this, [this, label = place.label] { Q_EMIT pointAdopted(label); });
    adopt->setEnabled(!m_data.uniform.empty());
}

void TradeOffPlot::applyTheme()
{
    Plot::applyTheme();
    const PlotTheme colors = theme();
    m_frontier->setPen(QPen(colors.accent, 2));
    m_frontier->setScatterStyle(m_data.frontier.size() > 80
            ? QCPScatterStyle()
            : QCPScatterStyle(QCPScatterStyle::ssDisc, colors.accent, colors.accent, 3.5));
    m_uniform->setScatterStyle(
        QCPScatterStyle(QCPScatterStyle::ssDiamond, QPen(colors.background, 1), colors.series[0], 11));
    m_uniform->setPen(QPen(colors.series[0]));
    m_ring->setScatterStyle(QCPScatterStyle(QCPScatterStyle::ssCircle, QPen(colors.text, 2.4), Qt::NoBrush, 14));
    m_ring->setPen(QPen(colors.text));
    canvas()->xAxis2->grid()->setVisible(false);
    rebuild();
}

void TradeOffPlot::resetView()
{
    // The frontier goes on to the model as stored, far beyond any size that one would choose: the view ends after the
    // largest uniform recipe, and zooming out shows the rest.
    double smallest = std::numeric_limits<double>::infinity(), largest = 0.0;
    int points = 0;
    const auto include = [&](const TradeOffData::Place& place) {
        if (!hasPlace(place))
            return;
        smallest = std::min(smallest, place.bytes);
        largest = std::max(largest, place.bytes);
        ++points;
    };
    std::for_each(m_data.uniform.begin(), m_data.uniform.end(), include);
    if (points < 2)
        std::for_each(m_data.frontier.begin(), m_data.frontier.end(), include);
    if (m_data.current)
        include(*m_data.current);
    if (largest <= 0.0)
        return;
    const double margin = std::max(0.08 * (largest - smallest), 0.02 * largest);
    const QCPRange sizes(std::max(0.0, smallest - margin), largest + 2.0 * margin);
    double lowest = std::numeric_limits<double>::infinity(), highest = 0.0;
    for (const auto* places : {&m_data.uniform, &m_data.frontier}) {
        for (const auto& place : *places) {
            if (hasPlace(place) && sizes.contains(place.bytes)) {
                lowest = std::min(lowest, place.error);
                highest = std::max(highest, place.error);
            }
        }
    }
    canvas()->xAxis->setRange(sizes);
    canvas()->yAxis->setRange(lowest / 1.8, highest * 1.8);
    m_fitted = shownEdges();
}

std::array<double, 4> TradeOffPlot::shownEdges() const
{
    const QCPRange sizes = canvas()->xAxis->range(), errors = canvas()->yAxis->range();
    return {sizes.lower, sizes.upper, errors.lower, errors.upper};
}
