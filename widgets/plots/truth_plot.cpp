// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/truth_plot.h"

#include "widgets/plots/plot_style.h"
#include "widgets/plots/tickers.h"
#include "widgets/support/format_text.h"
#include "widgets/support/qcustomplot.h"

#include <algorithm>
#include <cmath>

namespace {

constexpr TruthData::Kind kinds[] {
    TruthData::Kind::Tried, TruthData::Kind::Uniform, TruthData::Kind::Current, TruthData::Kind::Best};

bool isDrawn(const TruthData::Point& point)
{
    return std::isfinite(point.predicted) && std::isfinite(point.measured);
}

}  // namespace

TruthPlot::TruthPlot(QWidget* parent)
    : Plot(parent)
    , m_diagonal(new QCPCurve(canvas()->xAxis, canvas()->yAxis))
{
    setDescription(tr("Prediction and truth"),
        tr("Divergence of whole recipes: the sum over their layers against what was measured. On the line both are the "
           "same; above it layers' errors do more than add up."));
    canvas()->xAxis->setLabel(tr("Predicted KL (nats per token)"));
    canvas()->yAxis->setLabel(tr("Measured KL (nats per token)"));
    for (auto* axis : {canvas()->xAxis, canvas()->yAxis})
        axis->setTicker(QSharedPointer<QCPAxisTicker>(new SiTicker));
    canvas()->xAxis->ticker()->setTickCount(4);
    m_diagonal->setName(tr("As predicted"));
    m_diagonal->setSelectable(QCP::stNone);
    const QString names[] {tr("Current recipe"), tr("One scheme for everything"), tr("Tried"), tr("Best")};
    for (const auto kind : kinds) {
        const auto index = static_cast<int>(kind);
        auto* graph = canvas()->addGraph();
        graph->setLineStyle(QCPGraph::lsNone);
        graph->setSelectable(QCP::stNone);
        graph->setName(names[index]);
        m_graphs[index] = graph;
        auto* bars = new QCPErrorBars(canvas()->xAxis, canvas()->yAxis);
        bars->setDataPlottable(graph);
        bars->setErrorType(QCPErrorBars::etValueError);
        bars->setSelectable(QCP::stNone);
        bars->removeFromLegend();
        bars->setVisible(kind != TruthData::Kind::Tried);  // of so many they would hide each other
        m_bars[index] = bars;
    }
    placeLegendAbove(canvas(), 3);
    canvas()->legend->setIconSize(18, 18);  // the ring is larger than other signs
}

void TruthPlot::setData(TruthData content)
{
    m_data = std::move(content);
    for (const auto& point : m_data.points)
        if (point.kind == TruthData::Kind::Current)
            graphOf(point.kind)->setName(point.label);
    rebuild();
    setHasData(std::any_of(m_data.points.begin(), m_data.points.end(), isDrawn));
    resetView();
    replot();
}

void TruthPlot::rebuild()
{
    double largest = 0.0;
    for (const auto kind : kinds) {
        QVector<double> predicted, measured, errors;
        for (const auto& point : m_data.points) {
            if (point.kind != kind || !isDrawn(point))
                continue;
            predicted << point.predicted;
            measured << point.measured;
            errors << point.standardError;
            largest = std::max({largest, point.predicted, point.measured});
        }
        graphOf(kind)->setData(predicted, measured);
        m_bars[static_cast<int>(kind)]->setData(errors);
    }
    m_diagonal->setData(QVector<double> {0.0, 10.0 * largest}, QVector<double> {0.0, 10.0 * largest});
}

PlotTable TruthPlot::table() const
{
    PlotTable table;
    table.header << tr("Recipe") << tr("Size (bytes)") << tr("Bits per weight") << tr("Predicted KL (nats per token)")
                 << tr("Measured KL (nats per token)") << tr("Standard error");
    for (const auto& point : m_data.points)
        table.rows << QVariantList {point.label, point.bytes, point.bitsPerWeight, point.predicted, point.measured,
            point.standardError > 0.0 ? QVariant(point.standardError) : QVariant()};
    return table;
}

QPointF TruthPlot::pixelOf(const TruthData::Point& point) const
{
    return {canvas()->xAxis->coordToPixel(point.predicted), canvas()->yAxis->coordToPixel(point.measured)};
}

QString TruthPlot::hoverText(QPointF position) const
{
    const TruthData::Point* nearest = nullptr;
    double best = 10.0;  // pixels
    for (const auto& point : m_data.points) {
        const QPointF away = pixelOf(point) - position;
        if (const double distance = std::hypot(away.x(), away.y()); isDrawn(point) && distance < best) {
            best = distance;
            nearest = &point;
        }
    }
    if (nearest == nullptr)
        return {};
    return tr("<b>%1</b><br>%2, %3<br>predicted KL %4<br>measured KL %5")
        .arg(nearest->label.toHtmlEscaped(), format::bytes(static_cast<std::uint64_t>(nearest->bytes)),
            format::bitsPerWeight(nearest->bitsPerWeight), format::number(nearest->predicted, 3),
            format::plusMinus(nearest->measured, nearest->standardError));
}

void TruthPlot::applyTheme()
{
    Plot::applyTheme();
    const PlotTheme colors = theme();
    m_diagonal->setPen(QPen(colors.axis, 1, Qt::DashLine));
    const auto style = [&](TruthData::Kind kind, const QCPScatterStyle& scatter, const QColor& color) {
        graphOf(kind)->setScatterStyle(scatter);
        graphOf(kind)->setPen(QPen(color));
        m_bars[static_cast<int>(kind)]->setPen(QPen(color, 1));
    };
    // Told apart by shape as well as by colour, as on the trade-off.
    style(TruthData::Kind::Tried, QCPScatterStyle(QCPScatterStyle::ssDisc, colors.accent, colors.accent, 5),
        colors.accent);
    style(TruthData::Kind::Uniform,
        QCPScatterStyle(QCPScatterStyle::ssDiamond, QPen(colors.background, 1), colors.series[0], 11),
        colors.series[0]);
    style(TruthData::Kind::Current, QCPScatterStyle(QCPScatterStyle::ssCircle, QPen(colors.text, 2.4), Qt::NoBrush, 14),
        colors.text);
    style(TruthData::Kind::Best, QCPScatterStyle(QCPScatterStyle::ssStar, QPen(colors.accent, 2), Qt::NoBrush, 13),
        colors.accent);
}

void TruthPlot::resetView()
{
    double low = INFINITY, high = 0.0, least = INFINITY, most = 0.0;
    for (const auto& point : m_data.points)
        if (isDrawn(point)) {
            low = std::min(low, point.predicted);
            high = std::max(high, point.predicted);
            least = std::min(least, point.measured - point.standardError);
            most = std::max(most, point.measured + point.standardError);
        }
    if (high <= 0.0)
        return;
    // With a piece of the diagonal in view, whatever the points.
    low = std::min(low, least);
    least = low;
    const double margin = 0.08 * std::max(high - low, most - least);
    canvas()->xAxis->setRange(std::max(0.0, low - margin), std::max(high, low) + margin);
    canvas()->yAxis->setRange(std::max(0.0, least - margin), most + margin);
}
