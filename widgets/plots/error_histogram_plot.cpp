// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/error_histogram_plot.h"

#include "widgets/plots/plot_style.h"
#include "widgets/plots/tickers.h"
#include "widgets/support/format_text.h"
#include "widgets/support/qcustomplot.h"
#include "widgets/theme/fonts.h"

#include <QMenu>

#include <algorithm>
#include <array>

namespace {

const QLatin1String quantileMarker("quantile");
constexpr std::array quantiles {0.01, 0.50, 0.99};

}  // namespace

ErrorHistogramPlot::ErrorHistogramPlot(QWidget* parent)
    : Plot(parent)
    , m_note(new QCPTextElement(canvas()))
{
    setDescription(tr("Error histogram"),
        tr("Distribution of the error of single weights, original minus quantized. Dashed: the 1st, 50th and 99th "
           "percentile. Narrow and centred on zero is good; a shifted centre is a bias that later layers see."));
    setEmptyText(tr("Select a layer and a scheme"));
    canvas()->xAxis->setLabel(tr("Error w − ŵ"));
    canvas()->xAxis->setTicker(QSharedPointer<SiTicker>::create());
    placeLegendAbove(canvas(), 3);
    m_note->setTextFlags(Qt::AlignRight | Qt::AlignVCenter);
    m_note->setMargins(QMargins(8, 2, 8, 0));
    canvas()->plotLayout()->insertRow(1);
    canvas()->plotLayout()->addElement(1, 0, m_note);
    canvas()->plotLayout()->setRowStretchFactor(1, 0.001);
    setLogarithmic(false);
}

void ErrorHistogramPlot::setLogarithmic(bool logarithmic)
{
    m_logarithmic = logarithmic;
    auto* axis = canvas()->yAxis;
    axis->setLabel(tr("Density"));
    if (logarithmic) {
        axis->setScaleType(QCPAxis::stLogarithmic);
        axis->setTicker(QSharedPointer<DecadeTicker>::create());
    } else {
        axis->setScaleType(QCPAxis::stLinear);
        axis->setTicker(QSharedPointer<SiTicker>::create());
    }
    draw();
    resetView();
}

void ErrorHistogramPlot::setData(NamedHistogram current, std::vector<NamedHistogram> pinned, bool keepView)
{
    m_current = std::move(current);
    m_pinned = std::move(pinned);
    draw();
    if (!keepView)
        resetView();
}

void ErrorHistogramPlot::clear()
{
    setData({});
}

void ErrorHistogramPlot::draw()
{
    auto* canvas = this->canvas();
    canvas->clearGraphs();
    m_largest = m_smallest = 0.0;
    const auto add = [&](const NamedHistogram& named) {
        const auto measured = curveOf(named.histogram, BinHeight::Density, 0.0);
        m_largest = std::max(m_largest, measured.largest);
        if (measured.smallest > 0.0 && (m_smallest == 0.0 || measured.smallest < m_smallest))
            m_smallest = measured.smallest;
        const double floor = m_logarithmic ? measured.smallest * 0.5 : 0.0;
        const auto curve = m_logarithmic ? curveOf(named.histogram, BinHeight::Density, floor) : measured;
        auto* graph = canvas->addGraph();
        graph->setLineStyle(QCPGraph::lsStepCenter);
        graph->setAdaptiveSampling(false);
        graph->setName(named.name.isEmpty() ? tr("Error") : named.name);
        graph->setData(curve.keys, curve.values, true);
        graph->addToLegend();
    };
    const bool any = m_current.histogram.total() > 0;
    if (any) {
        add(m_current);
        for (const auto& pinned : m_pinned)
            add(pinned);
    }
    drawQuantiles();
    setHasData(any);
    applyTheme();
}

void ErrorHistogramPlot::drawQuantiles()
{
    auto* canvas = this->canvas();
    for (int i = canvas->itemCount() - 1; i >= 0; --i)
        if (canvas->item(i)->objectName() == quantileMarker)
            canvas->removeItem(i);
    const auto& histogram = m_current.histogram;
    QStringList parts;
    QString outside;
    if (histogram.total() > 0) {
        for (const double quantile : quantiles) {
            const double place = histogram.quantile(quantile);
            auto* line = new QCPItemLine(canvas);
            line->setObjectName(quantileMarker);
            for (auto* end : {line->start, line->end}) {
                end->setTypeX(QCPItemPosition::ptPlotCoords);
                end->setTypeY(QCPItemPosition::ptAxisRectRatio);
            }
            line->start->setCoords(place, 0.0);
            line->end->setCoords(place, 1.0);
            parts << tr("%1 %: %2").arg(QLocale().toString(quantile * 100.0), format::number(place, 2));
        }
        if (histogram.underflow || histogram.overflow)
            outside = u'\n'
                + tr("outside: %1 below, %2 above")
                      .arg(format::integer(histogram.underflow), format::integer(histogram.overflow));
    }
    m_note->setText(parts.join(QStringLiteral("   ")) + outside);
}

PlotTable ErrorHistogramPlot::table() const
{
    PlotTable table {{tr("Scheme"), tr("From"), tr("To"), tr("Weights")}, {}};
    std::vector<const NamedHistogram*> all {&m_current};
    for (const auto& pinned : m_pinned)
        all.push_back(&pinned);
    for (const auto* named : all) {
        const auto& histogram = named->histogram;
        const auto addRow = [&](const QVariant& from, const QVariant& to, std::uint64_t count) {
            table.rows.append({named->name, from, to, static_cast<qulonglong>(count)});
        };
        if (histogram.underflow)
            addRow(QVariant(), histogram.low, histogram.underflow);
        for (std::size_t bin = 0; bin < histogram.counts.size(); ++bin) {
            const double from = histogram.low + static_cast<double>(bin) * histogram.binWidth();
            addRow(from, from + histogram.binWidth(), histogram.counts[bin]);
        }
        if (histogram.overflow)
            addRow(histogram.high, QVariant(), histogram.overflow);
    }
    return table;
}

QString ErrorHistogramPlot::hoverText(QPointF position) const
{
    if (!canvas()->axisRect()->rect().contains(position.toPoint()))
        return {};
    const double place = canvas()->xAxis->pixelToCoord(position.x());
    QStringList lines;
    const auto addLine = [&](const NamedHistogram& named) {
        const int bin = binAt(named.histogram, place);
        const auto total = static_cast<double>(named.histogram.total());
        if (bin < 0 || total <= 0.0)
            return;
        const auto count = named.histogram.counts[static_cast<std::size_t>(bin)];
        lines << tr("%1: %2 weights in this bin (%3)")
                     .arg(named.name, format::integer(count), format::percent(static_cast<double>(count) / total));
    };
    addLine(m_current);
    for (const auto& pinned : m_pinned)
        addLine(pinned);
    if (!lines.isEmpty())
        lines.prepend(tr("error %1").arg(format::number(place, 3)));
    return lines.join(u'\n');
}

void ErrorHistogramPlot::extendMenu(QMenu* menu)
{
    auto* action = menu->addAction(tr("&Logarithmic density"), this, [this] { setLogarithmic(!m_logarithmic); });
    action->setCheckable(true);
    action->setChecked(m_logarithmic);
}

void ErrorHistogramPlot::resetView()
{
    const auto& histogram = m_current.histogram;
    if (histogram.total() == 0)
        return;
    double low = histogram.low;
    double high = histogram.high;
    for (const auto& pinned : m_pinned) {
        low = std::min(low, pinned.histogram.low);
        high = std::max(high, pinned.histogram.high);
    }
    const double margin = std::max((high - low) * 0.03, drawnBinWidth(histogram));
    canvas()->xAxis->setRange(low - margin, high + margin);
    if (m_logarithmic)
        canvas()->yAxis->setRange(m_smallest * 0.7, m_largest * 2.0);
    else
        canvas()->yAxis->setRange(0.0, m_largest * 1.08);
    replot();
}

void ErrorHistogramPlot::applyTheme()
{
    Plot::applyTheme();
    const auto colors = theme();
    for (int i = 0; i < canvas()->graphCount(); ++i) {
        auto* graph = canvas()->graph(i);
        if (i == 0) {
            graph->setPen(QPen(colors.accent, 1.4));
            graph->setBrush(colors.accentFill);
        } else {
            graph->setPen(QPen(colors.series[static_cast<std::size_t>(i - 1) % colors.series.size()], 1.4));
        }
    }
    m_note->setTextColor(colors.mutedText);
    m_note->setFont(tabularFont(scaledFont(font(), 0.9)));
    for (int i = 0; i < canvas()->itemCount(); ++i)
        if (auto* line = qobject_cast<QCPItemLine*>(canvas()->item(i)))
            line->setPen(QPen(colors.mutedText, 1, Qt::DashLine));
}
