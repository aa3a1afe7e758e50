// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/small_multiples_plot.h"

#include "widgets/plots/histogram_curve.h"
#include "widgets/plots/plot_style.h"
#include "widgets/plots/tickers.h"
#include "widgets/support/format_text.h"
#include "widgets/support/qcustomplot.h"
#include "widgets/theme/fonts.h"

#include <algorithm>
#include <cmath>

SmallMultiplesPlot::SmallMultiplesPlot(QWidget* parent)
    : Plot(parent)
{
    setDescription(tr("This layer under every swept scheme"),
        tr("Error histograms on one common scale of errors; heights are each panel's own. The narrower, the better. "
           "Click a panel to use its scheme."));
    setEmptyText(tr("Analyze the model to compare schemes here"));
    canvas()->plotLayout()->clear();
    canvas()->plotLayout()->setRowSpacing(2);
    canvas()->plotLayout()->setColumnSpacing(4);
    canvas()->setInteractions(QCP::iNone);
}

void SmallMultiplesPlot::setPanels(std::vector<SchemePanel> panels)
{
    m_panels = std::move(panels);
    auto* canvas = this->canvas();
    canvas->clearPlottables();
    canvas->plotLayout()->clear();
    double limit = 0.0;
    for (const auto& panel : m_panels)
        limit = std::max({limit, std::abs(panel.error.low), std::abs(panel.error.high)});
    if (limit <= 0.0)
        limit = 1e-6;
    for (std::size_t i = 0; i < m_panels.size(); ++i) {
        const auto& panel = m_panels[i];
        const int row = static_cast<int>(i) / panelsPerLine * 2;
        const int column = static_cast<int>(i) % panelsPerLine;
        auto* caption = new QCPTextElement(canvas, panel.scheme + u'\n' + format::decibels(panel.sqnrDb));
        caption->setTextFlags(Qt::AlignHCenter | Qt::AlignBottom);
        caption->setMargins(QMargins(0, 4, 0, 2));
        canvas->plotLayout()->addElement(row, column, caption);
        auto* rect = new QCPAxisRect(canvas, false);
        rect->addAxes(QCPAxis::atLeft | QCPAxis::atBottom | QCPAxis::atTop | QCPAxis::atRight);
        rect->setAutoMargins(QCP::msBottom);
        rect->setMargins(QMargins(7, 0, 7, 0));
        canvas->plotLayout()->addElement(row + 1, column, rect);
        for (auto* axis : rect->axes()) {
            axis->setTicks(axis->axisType() == QCPAxis::atBottom);
            axis->setTickLabels(axis->axisType() == QCPAxis::atBottom);
            axis->grid()->setVisible(false);
        }
        auto ticker = QSharedPointer<SiTicker>::create();
        ticker->setTickCount(2);
        rect->axis(QCPAxis::atBottom)->setTicker(ticker);
        rect->axis(QCPAxis::atBottom)->setSubTicks(false);
        rect->axis(QCPAxis::atBottom)->setRange(-limit * 1.05, limit * 1.05);
        auto* graph = canvas->addGraph(rect->axis(QCPAxis::atBottom), rect->axis(QCPAxis::atLeft));
        graph->setLineStyle(QCPGraph::lsStepCenter);
        graph->setAdaptiveSampling(false);
        const auto curve = curveOf(panel.error, BinHeight::Density, 0.0);
        graph->setData(curve.keys, curve.values, true);
        rect->axis(QCPAxis::atLeft)->setRange(0.0, curve.largest > 0.0 ? curve.largest * 1.08 : 1.0);
        canvas->plotLayout()->setRowStretchFactor(row, 0.001);
    }
    setHasData(!m_panels.empty());
    applyTheme();
}

PlotTable SmallMultiplesPlot::table() const
{
    PlotTable table {{tr("Scheme"), tr("SQNR (dB)"), tr("Size (bits per weight)"), tr("Error, 1st percentile"),
                         tr("Error, 99th percentile")},
        {}};
    for (const auto& panel : m_panels)
        table.rows.append(
            {panel.scheme, panel.sqnrDb, panel.bitsPerWeight, panel.error.quantile(0.01), panel.error.quantile(0.99)});
    return table;
}

int SmallMultiplesPlot::panelAt(QPointF position) const
{
    const auto rects = canvas()->axisRects();
    for (int i = 0; i < rects.size(); ++i) {
        // The caption above belongs to the panel.
        const auto area = rects[i]->outerRect().adjusted(0, -fontMetrics().lineSpacing() * 2, 0, 0);
        if (area.contains(position.toPoint()))
            return i;
    }
    return -1;
}

QString SmallMultiplesPlot::hoverText(QPointF position) const
{
    const int index = panelAt(position);
    if (index < 0 || index >= static_cast<int>(m_panels.size()))
        return {};
    const auto& panel = m_panels[static_cast<std::size_t>(index)];
    return tr("%1\nSQNR %2, %3\n1–99 % of the errors lie in %4 … %5")
        .arg(panel.scheme, format::decibels(panel.sqnrDb), format::bitsPerWeight(panel.bitsPerWeight),
            format::number(panel.error.quantile(0.01), 3), format::number(panel.error.quantile(0.99), 3));
}

void SmallMultiplesPlot::clicked(QPointF position)
{
    const int index = panelAt(position);
    if (index >= 0 && index < static_cast<int>(m_panels.size()))
        Q_EMIT schemeClicked(m_panels[static_cast<std::size_t>(index)].scheme);
}

void SmallMultiplesPlot::resetView() { }

void SmallMultiplesPlot::applyTheme()
{
    Plot::applyTheme();
    const auto colors = theme();
    auto* layout = canvas()->plotLayout();
    const auto rects = canvas()->axisRects();
    for (int i = 0; i < canvas()->graphCount() && i < static_cast<int>(m_panels.size()); ++i) {
        const bool current = m_panels[static_cast<std::size_t>(i)].current;
        canvas()->graph(i)->setPen(QPen(current ? colors.accent : colors.original, 1.2));
        canvas()->graph(i)->setBrush(current ? colors.accentFill : colors.originalFill);
        for (auto* axis : rects[i]->axes()) {
            axis->setBasePen(QPen(current ? colors.accent : colors.grid, current ? 1.6 : 1.0));
            axis->setTickLabelFont(tabularFont(scaledFont(font(), 0.8)));
            axis->setTickLength(0, 3);
            axis->setSubTickLength(0, 0);
        }
        auto* caption = qobject_cast<QCPTextElement*>(layout->element(i / panelsPerLine * 2, i % panelsPerLine));
        if (caption) {
            caption->setTextColor(current ? colors.accent : colors.text);
            caption->setFont(tabularFont(scaledFont(font(), 0.88, current)));
        }
    }
}
