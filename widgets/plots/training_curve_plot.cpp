// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/training_curve_plot.h"

#include "widgets/plots/plot_style.h"
#include "widgets/plots/tickers.h"
#include "widgets/support/format_text.h"
#include "widgets/support/qcustomplot.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

namespace {

bool fitsLogarithm(double value)
{
    return std::isfinite(value) && value > 0.0;
}

}  // namespace

TrainingCurvePlot::TrainingCurvePlot(const QString& axis, QWidget* parent)
    : Plot(parent)
    , m_axis(axis)
{
    canvas()->xAxis->setLabel(tr("Steps done"));
    canvas()->xAxis->setTicker(QSharedPointer<QCPAxisTicker>(new IntegerTicker));
    canvas()->yAxis->setLabel(axis);
    canvas()->yAxis->setScaleType(QCPAxis::stLogarithmic);
    canvas()->yAxis->setTicker(QSharedPointer<QCPAxisTicker>(new DecadeTicker));
    placeLegendAbove(canvas(), 3);
    setHasData(false);  // the legend, too, waits for data
}

void TrainingCurvePlot::setData(TrainingCurvesData content)
{
    if (content == m_data)
        return;
    m_data = std::move(content);
    rebuild();
    setHasData(std::any_of(
        m_data.lines.begin(), m_data.lines.end(), [](const TrainingCurve& line) { return !line.steps.empty(); }));
    applyTheme();
    resetView();
    replot();
}

void TrainingCurvePlot::rebuild()
{
    canvas()->clearGraphs();
    for (const auto& line : m_data.lines) {
        auto* graph = canvas()->addGraph();
        graph->setName(line.name);
        graph->setSelectable(QCP::stNone);
        QVector<double> steps, values;
        for (std::size_t i = 0; i < line.steps.size(); ++i) {
            steps << static_cast<double>(line.steps[i]);
            values << (fitsLogarithm(line.values[i]) ? line.values[i] : std::numeric_limits<double>::quiet_NaN());
        }
        graph->setData(steps, values, true);
    }
    if (fitsLogarithm(m_data.reference)) {
        auto* graph = canvas()->addGraph();
        graph->setName(m_data.referenceName);
        graph->setSelectable(QCP::stNone);
        graph->setData({0.0, static_cast<double>(m_data.steps)}, {m_data.reference, m_data.reference}, true);
    }
    for (int i = 0; i < canvas()->graphCount(); ++i)
        canvas()->graph(i)->addToLegend();
}

PlotTable TrainingCurvePlot::table() const
{
    PlotTable table;
    if (!hasData())
        return table;
    table.header << tr("Steps done");
    std::map<std::uint64_t, QVariantList> rows;
    for (std::size_t column = 0; column < m_data.lines.size(); ++column) {
        const auto& line = m_data.lines[column];
        table.header << tr("%1, %2").arg(line.name, m_axis);
        for (std::size_t i = 0; i < line.steps.size(); ++i) {
            auto& row = rows[line.steps[i]];
            row.resize(static_cast<qsizetype>(m_data.lines.size()));
            row[static_cast<qsizetype>(column)] = line.values[i];
        }
    }
    const bool isMeasured = fitsLogarithm(m_data.reference);
    if (isMeasured)
        table.header << tr("%1, %2").arg(m_data.referenceName, m_axis);
    for (const auto& [step, values] : rows) {
        QVariantList row {static_cast<qulonglong>(step)};
        row += values;
        if (isMeasured)
            row << m_data.reference;
        table.rows << row;
    }
    return table;
}

QString TrainingCurvePlot::hoverText(QPointF position) const
{
    if (!canvas()->axisRect()->rect().contains(position.toPoint()))
        return {};
    const double place = canvas()->xAxis->pixelToCoord(position.x());
    QStringList lines;
    for (const auto& line : m_data.lines) {
        const auto nearest = std::min_element(line.steps.begin(), line.steps.end(), [place](auto a, auto b) {
            return std::abs(static_cast<double>(a) - place) < std::abs(static_cast<double>(b) - place);
        });
        if (nearest != line.steps.end())
            lines << tr("%1 after %2 steps: %3")
                         .arg(line.name, format::integer(*nearest),
                             format::number(line.values[static_cast<std::size_t>(nearest - line.steps.begin())]));
    }
    if (fitsLogarithm(m_data.reference))
        lines << tr("%1: %2").arg(m_data.referenceName, format::number(m_data.reference));
    return lines.join(u'\n');
}

void TrainingCurvePlot::applyTheme()
{
    Plot::applyTheme();
    const auto colors = theme();
    for (int i = 0; i < canvas()->graphCount(); ++i) {
        auto* graph = canvas()->graph(i);
        if (static_cast<std::size_t>(i) >= m_data.lines.size()) {
            graph->setPen(QPen(colors.original, 1.4, Qt::DashLine));
            continue;
        }
        const auto color = i == 0 ? colors.accent : colors.series[static_cast<std::size_t>(i - 1)];
        graph->setPen(QPen(color, i == 0 ? 1.4 : 1.8));
        const auto points = m_data.lines[static_cast<std::size_t>(i)].steps.size();
        if (points <= mostDots)
            graph->setScatterStyle(QCPScatterStyle(QCPScatterStyle::ssDisc, color, color, points <= 2 ? 6.0 : 4.5));
    }
}

void TrainingCurvePlot::resetView()
{
    double lowest = std::numeric_limits<double>::infinity(), highest = 0.0;
    const auto take = [&](double value) {
        if (!fitsLogarithm(value))
            return;
        lowest = std::min(lowest, value);
        highest = std::max(highest, value);
    };
    for (const auto& line : m_data.lines)
        std::for_each(line.values.begin(), line.values.end(), take);
    take(m_data.reference);
    const auto steps = static_cast<double>(std::max<std::uint64_t>(1, m_data.steps));
    canvas()->xAxis->setRange(-0.02 * steps, 1.02 * steps);
    if (highest > 0.0) {
        const double margin = std::max(1.05, std::pow(highest / lowest, 0.08));
        canvas()->yAxis->setRange(lowest / margin, highest * margin);
    }
}

LossPlot::LossPlot(QWidget* parent)
    : TrainingCurvePlot(tr("nats per token"), parent)
{
    setDescription(tr("Loss and divergence"),
        tr("The loss of each step, and how far predictions on the held-out text are from the original's. Lower is "
           "better; where the loss falls and the divergence rises, the text is learned by heart."));
    setEmptyText(tr("Start a training to see its loss"));
}

LayerLossPlot::LayerLossPlot(QWidget* parent)
    : TrainingCurvePlot(tr("‖E·x‖², mean over tokens"), parent)
{
    setDescription(tr("Loss of the layer"),
        tr("The squared error of the layer's outputs in each step, and on the held-out tokens that decide which step "
           "is kept. Lower is better; where only the first falls, the layer learns its tokens by heart."));
    setEmptyText(tr("Start a training to see a layer's loss"));
}

PerplexityPlot::PerplexityPlot(QWidget* parent)
    : TrainingCurvePlot(tr("perplexity"), parent)
{
    setDescription(tr("Perplexity, held-out text"),
        tr("Exponential of the mean surprise at the right token, on text that is not trained on. Lower is better; the "
           "dashed line is the original model, unquantized."));
    setEmptyText(tr("Start a training to see its perplexity"));
}
