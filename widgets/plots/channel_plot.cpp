// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/channel_plot.h"

#include "widgets/plots/plot_style.h"
#include "widgets/plots/tickers.h"
#include "widgets/support/format_text.h"
#include "widgets/support/qcustomplot.h"

#include <algorithm>
#include <cmath>

namespace {

enum Graph { Values, Threshold, Outliers };

}  // namespace

ChannelPlot::ChannelPlot(QWidget* parent)
    : Plot(parent)
{
    setDescription(tr("Channel profile"),
        tr("One value per channel. Marked channels stick out more than three times over the median: with one scale for "
           "many channels they decide it for all."));
    setEmptyText(tr("Select a layer"));
    auto* canvas = this->canvas();
    for (int i = Values; i <= Outliers; ++i)
        canvas->addGraph();
    canvas->graph(Outliers)->setLineStyle(QCPGraph::lsNone);
    canvas->xAxis->setTicker(QSharedPointer<IntegerTicker>::create());
    canvas->xAxis->grid()->setVisible(false);
    canvas->yAxis->setTicker(QSharedPointer<SiTicker>::create());
    canvas->axisRect()->setRangeZoom(Qt::Horizontal);
    canvas->axisRect()->setRangeDrag(Qt::Horizontal);
}

void ChannelPlot::setProfile(ChannelProfile profile)
{
    const bool sameView = hasData() && profile.rows == m_profile.rows && profile.quantity == m_profile.quantity
        && profile.values.size() == m_profile.values.size();
    const auto view = canvas()->xAxis->range();
    m_profile = std::move(profile);
    const auto count = static_cast<double>(m_profile.values.size());
    QVector<double> keys, values, outlierKeys, outlierValues;
    keys.reserve(static_cast<qsizetype>(m_profile.values.size()));
    values.reserve(keys.capacity());
    for (std::size_t i = 0; i < m_profile.values.size(); ++i) {
        keys << static_cast<double>(i);
        values << static_cast<double>(m_profile.values[i]);
    }
    for (const auto outlier : m_profile.outliers)
        if (outlier < m_profile.values.size()) {
            outlierKeys << outlier;
            outlierValues << static_cast<double>(m_profile.values[outlier]);
        }
    auto* canvas = this->canvas();
    // Single channels are told apart only where there are few of them.
    canvas->graph(Values)->setLineStyle(count <= 400 ? QCPGraph::lsStepCenter : QCPGraph::lsLine);
    canvas->graph(Values)->setData(keys, values, true);
    canvas->graph(Outliers)->setData(outlierKeys, outlierValues, true);
    if (m_profile.threshold > 0.0)
        canvas->graph(Threshold)->setData({-1.0, count}, {m_profile.threshold, m_profile.threshold}, true);
    else
        canvas->graph(Threshold)->data()->clear();
    canvas->xAxis->setLabel(m_profile.rows ? tr("Output channel (row)") : tr("Input channel (column)"));
    canvas->yAxis->setLabel(m_profile.quantity);
    setHasData(!m_profile.values.empty());
    resetView();
    if (sameView)
        canvas->xAxis->setRange(view);
    replot();
}

void ChannelPlot::clear()
{
    setProfile({});
}

PlotTable ChannelPlot::table() const
{
    PlotTable table {
        {m_profile.rows ? tr("Output channel") : tr("Input channel"), m_profile.quantity, tr("Outlier")}, {}};
    for (std::size_t i = 0; i < m_profile.values.size(); ++i) {
        const bool outlier =
            std::binary_search(m_profile.outliers.begin(), m_profile.outliers.end(), static_cast<std::uint32_t>(i));
        table.rows.append(
            {static_cast<qulonglong>(i), static_cast<double>(m_profile.values[i]), outlier ? tr("yes") : QString()});
    }
    return table;
}

int ChannelPlot::channelAt(QPointF position) const
{
    if (!canvas()->axisRect()->rect().contains(position.toPoint()))
        return -1;
    const double place = canvas()->xAxis->pixelToCoord(position.x());
    if (place < -0.5 || place >= static_cast<double>(m_profile.values.size()) - 0.5)
        return -1;
    auto channel = static_cast<std::size_t>(std::lround(std::max(0.0, place)));
    // Within the reach of a pointer an outlier wins over its neighbours.
    const double reach = std::abs(canvas()->xAxis->pixelToCoord(position.x() + 4) - place);
    for (const auto outlier : m_profile.outliers)
        if (outlier < m_profile.values.size() && std::abs(static_cast<double>(outlier) - place) <= reach)
            channel = outlier;
    return static_cast<int>(channel);
}

QString ChannelPlot::hoverText(QPointF position) const
{
    const int channel = channelAt(position);
    if (channel < 0)
        return {};
    return tr("channel %1\n%2: %3")
        .arg(QLocale().toString(channel), m_profile.quantity,
            format::number(static_cast<double>(m_profile.values[static_cast<std::size_t>(channel)])));
}

void ChannelPlot::clicked(QPointF position)
{
    if (const int channel = channelAt(position); channel >= 0)
        Q_EMIT channelClicked(m_profile.rows, channel);
}

void ChannelPlot::resetView()
{
    double largest = m_profile.threshold;
    for (const float value : m_profile.values)
        largest = std::max(largest, static_cast<double>(value));
    canvas()->xAxis->setRange(-0.5, std::max(1.0, static_cast<double>(m_profile.values.size()) - 0.5));
    canvas()->yAxis->setRange(0.0, largest > 0.0 ? largest * 1.08 : 1.0);
}

void ChannelPlot::applyTheme()
{
    Plot::applyTheme();
    const auto colors = theme();
    canvas()->graph(Values)->setPen(QPen(colors.accent, 1));
    canvas()->graph(Values)->setBrush(colors.accentFill);
    canvas()->graph(Threshold)->setPen(QPen(colors.mutedText, 1, Qt::DashLine));
    // Marked by shape as well as by colour.
    canvas()->graph(Outliers)->setScatterStyle(
        QCPScatterStyle(QCPScatterStyle::ssTriangleInverted, QPen(colors.warning, 1), QBrush(colors.warning), 7));
}
