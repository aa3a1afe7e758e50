// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/activation_plot.h"

#include "widgets/plots/plot_style.h"
#include "widgets/plots/point_labels.h"
#include "widgets/plots/tickers.h"
#include "widgets/support/format_text.h"
#include "widgets/support/qcustomplot.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

namespace {

enum Curve { LargestSizes, UsualSizes, UsualToken, LoudToken, LoudChannels };

/// Zero has no place on a logarithmic axis; a gap ends the line.
double placed(double value)
{
    return value > 0.0 ? value : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

ActivationPlot::ActivationPlot(QWidget* parent)
    : Plot(parent)
{
    setDescription(tr("Activations"),
        tr("How large the inputs of each channel got when the model ran on text, on a logarithmic scale. Marked "
           "channels stick out more than six times over the median: rounded with one scale for the whole token, as in "
           "W8A8, they leave the others few steps. SmoothQuant and Hadamard are made for them."));
    setEmptyText(tr("Select a layer"));
    auto* canvas = this->canvas();
    for (const auto& name : {tr("Largest |x|"), tr("RMS"), tr("Half of all tokens stay below"),
             tr("99 % of all tokens stay below"), tr("Outlier channels")})
        canvas->addGraph()->setName(name);
    canvas->graph(LoudChannels)->setLineStyle(QCPGraph::lsNone);
    canvas->xAxis->setTicker(QSharedPointer<IntegerTicker>::create());
    canvas->xAxis->grid()->setVisible(false);
    canvas->yAxis->setScaleType(QCPAxis::stLogarithmic);
    canvas->yAxis->setTicker(QSharedPointer<DecadeTicker>::create());
    canvas->yAxis->setLabel(tr("Size of the input"));
    canvas->axisRect()->setRangeZoom(Qt::Horizontal);
    canvas->axisRect()->setRangeDrag(Qt::Horizontal);
    for (const int graph : {LargestSizes, UsualSizes, UsualToken, LoudToken})
        canvas->graph(graph)->addToLegend();
    placeLegendAbove(canvas, 4);
    m_names = new PointLabels(canvas);
}

void ActivationPlot::setProfile(quantloupe::InputProfile profile)
{
    const bool sameView = hasData() && profile.absMax.size() == m_profile.absMax.size();
    const auto view = canvas()->xAxis->range();
    m_profile = std::move(profile);
    draw();
    if (sameView)
        canvas()->xAxis->setRange(view);
}

void ActivationPlot::setOrder(Order order)
{
    if (std::exchange(m_order, order) != order)
        draw();
}

void ActivationPlot::clear()
{
    setProfile({});
}

void ActivationPlot::draw()
{
    const auto count = m_profile.absMax.size();
    m_channels.resize(count);
    std::iota(m_channels.begin(), m_channels.end(), std::size_t {0});
    if (m_order == Order::LoudestFirst)
        std::stable_sort(m_channels.begin(), m_channels.end(),
            [this](std::size_t a, std::size_t b) { return m_profile.absMax[a] > m_profile.absMax[b]; });
    m_places.resize(count);
    QVector<double> keys, largest, usual, outlierKeys, outlierValues;
    for (std::size_t place = 0; place < count; ++place) {
        const auto channel = m_channels[place];
        m_places[channel] = place;
        keys << static_cast<double>(place);
        largest << placed(static_cast<double>(m_profile.absMax[channel]));
        usual << placed(static_cast<double>(m_profile.rms[channel]));
    }
    for (const auto channel : m_profile.outliers) {
        outlierKeys << static_cast<double>(m_places[channel]);
        outlierValues << static_cast<double>(m_profile.absMax[channel]);
    }
    auto* canvas = this->canvas();
    // Single channels are told apart only where there are few of them.
    canvas->graph(LargestSizes)->setLineStyle(count <= 400 ? QCPGraph::lsStepCenter : QCPGraph::lsLine);
    canvas->graph(LargestSizes)->setData(keys, largest, true);
    canvas->graph(UsualSizes)->setData(keys, usual, true);
    canvas->graph(LoudChannels)->setData(outlierKeys, outlierValues);
    const double end = static_cast<double>(count);
    for (const auto& [graph, size] : {std::pair(UsualToken, m_profile.usualToken), {LoudToken, m_profile.loudToken}})
        canvas->graph(graph)->setData({-1.0, end}, {placed(size), placed(size)}, true);
    canvas->xAxis->setLabel(
        m_order == Order::ByPosition ? tr("Input channel (column)") : tr("Input channels, the loudest first"));
    nameOutliers();
    setHasData(std::any_of(m_profile.absMax.begin(), m_profile.absMax.end(), [](float value) { return value > 0.0F; }));
    resetView();
    replot();
}

void ActivationPlot::nameOutliers()
{
    m_names->labels.clear();
    m_names->obstacles.clear();
    m_names->font = font();
    for (std::size_t i = 0; i < std::min(mostNamed, m_profile.outliers.size()); ++i) {
        const auto channel = m_profile.outliers[i];
        m_names->labels.push_back(
            {{static_cast<double>(m_places[channel]), static_cast<double>(m_profile.absMax[channel])},
                tr("%1: %2×").arg(QLocale().toString(channel), QLocale().toString(m_profile.ratio(channel), 'f', 0)),
                theme().text});
    }
}

bool ActivationPlot::isOutlier(std::size_t channel) const
{
    return std::find(m_profile.outliers.begin(), m_profile.outliers.end(), channel) != m_profile.outliers.end();
}

PlotTable ActivationPlot::table() const
{
    PlotTable table {
        {tr("Input channel"), tr("Largest |x|"), tr("RMS"), tr("Largest |x| ÷ median"), tr("Outlier")}, {}};
    for (const auto channel : m_channels)
        table.rows.append({static_cast<qulonglong>(channel), static_cast<double>(m_profile.absMax[channel]),
            static_cast<double>(m_profile.rms[channel]), m_profile.ratio(channel),
            isOutlier(channel) ? tr("yes") : QString()});
    return table;
}

int ActivationPlot::channelAt(QPointF position) const
{
    if (!canvas()->axisRect()->rect().contains(position.toPoint()))
        return -1;
    const double place = canvas()->xAxis->pixelToCoord(position.x());
    if (place < -0.5 || place >= static_cast<double>(m_channels.size()) - 0.5)
        return -1;
    const auto nearest = m_channels[static_cast<std::size_t>(std::lround(std::max(0.0, place)))];
    // Within the reach of a pointer the loudest outlier wins over its neighbours.
    const double reach = std::abs(canvas()->xAxis->pixelToCoord(position.x() + 4) - place);
    for (const auto outlier : m_profile.outliers)
        if (std::abs(static_cast<double>(m_places[outlier]) - place) <= reach)
            return static_cast<int>(outlier);
    return static_cast<int>(nearest);
}

QString ActivationPlot::hoverText(QPointF position) const
{
    const int channel = channelAt(position);
    if (channel < 0)
        return {};
    const auto index = static_cast<std::size_t>(channel);
    return tr("channel %1\nlargest |x|: %2, %3× the median\nRMS: %4")
        .arg(QLocale().toString(channel), format::number(static_cast<double>(m_profile.absMax[index])),
            format::number(m_profile.ratio(index)), format::number(static_cast<double>(m_profile.rms[index])));
}

void ActivationPlot::resetView()
{
    double largest = m_profile.loudToken, smallest = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < m_profile.absMax.size(); ++i) {
        largest = std::max(largest, static_cast<double>(m_profile.absMax[i]));
        if (m_profile.rms[i] > 0.0F)
            smallest = std::min(smallest, static_cast<double>(m_profile.rms[i]));
    }
    canvas()->xAxis->setRange(-0.5, std::max(1.0, static_cast<double>(m_profile.absMax.size()) - 0.5));
    if (largest > 0.0 && smallest <= largest)
        canvas()->yAxis->setRange(smallest / 1.5, largest * 2.0);  // room for names
}

void ActivationPlot::applyTheme()
{
    Plot::applyTheme();
    const auto colors = theme();
    canvas()->graph(LargestSizes)->setPen(QPen(colors.accent, 1.2));
    canvas()->graph(UsualSizes)->setPen(QPen(colors.mutedText, 1));
    canvas()->graph(UsualToken)->setPen(QPen(colors.reference, 1.2, Qt::DotLine));
    canvas()->graph(LoudToken)->setPen(QPen(colors.reference, 1.2, Qt::DashLine));
    // Marked by shape as well as by colour.
    canvas()
        ->graph(LoudChannels)
        ->setScatterStyle(
            QCPScatterStyle(QCPScatterStyle::ssTriangleInverted, QPen(colors.warning, 1), QBrush(colors.warning), 7));
    nameOutliers();
}
