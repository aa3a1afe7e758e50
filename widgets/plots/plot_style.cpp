// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/plot_style.h"

#include "widgets/support/qcustomplot.h"
#include "widgets/theme/fonts.h"

#include <cmath>

void styleAxis(QCPAxis* axis, const PlotTheme& theme, const QFont& font)
{
    const auto small = tabularFont(scaledFont(font, 0.9));
    axis->setBasePen(QPen(theme.axis, 1));
    axis->setTickPen(QPen(theme.axis, 1));
    axis->setSubTickPen(QPen(theme.axis, 1));
    axis->setLabelColor(theme.text);
    axis->setTickLabelColor(theme.mutedText);
    axis->setLabelFont(small);
    axis->setTickLabelFont(small);
    axis->setTickLength(0, 4);
    axis->setSubTickLength(0, 2);
    axis->setLabelPadding(4);
    axis->setTickLabelPadding(4);
    axis->grid()->setPen(QPen(theme.grid, 1));
    axis->grid()->setSubGridVisible(false);
    axis->grid()->setZeroLinePen(QPen(theme.grid, 1));
}

void styleElements(QCPLayoutElement* element, const PlotTheme& theme, const QFont& font)
{
    if (!element)
        return;
    if (auto* rect = qobject_cast<QCPAxisRect*>(element)) {
        for (auto* axis : rect->axes())
            styleAxis(axis, theme, font);
    } else if (auto* legend = qobject_cast<QCPLegend*>(element)) {
        legend->setBrush(Qt::NoBrush);
        legend->setBorderPen(Qt::NoPen);
        legend->setTextColor(theme.text);
        legend->setFont(scaledFont(font, 0.9));
        // The grid of a legend has empty cells.
        for (int i = 0; i < legend->itemCount(); ++i)
            if (auto* item = legend->item(i)) {
                item->setTextColor(theme.text);
                item->setFont(scaledFont(font, 0.9));
            }
    } else if (auto* text = qobject_cast<QCPTextElement*>(element)) {
        text->setTextColor(theme.text);
        text->setFont(scaledFont(font, 0.9));
    } else if (auto* scale = qobject_cast<QCPColorScale*>(element)) {
        styleAxis(scale->axis(), theme, font);
        scale->axis()->grid()->setVisible(false);
    }
    for (auto* child : element->elements(false))
        styleElements(child, theme, font);
}

void setShown(QCPLayoutElement* element, bool shown)
{
    element->setVisible(shown);
    for (auto* child : element->elements(true)) {
        if (!child)
            continue;
        // A legend still in its place over the data was never asked for.
        const bool unused = qobject_cast<QCPLegend*>(child) && qobject_cast<QCPLayoutInset*>(child->layout());
        child->setVisible(shown && !unused);
    }
}

void setUpLegend(QCPLegend* legend, int wrap)
{
    legend->setFillOrder(QCPLegend::foColumnsFirst);
    legend->setWrap(wrap);
    legend->setIconSize(14, 10);
    legend->setColumnSpacing(14);
    legend->setRowSpacing(0);
    legend->setMargins(QMargins(0, 0, 0, 0));
    legend->setBorderPen(Qt::NoPen);
}

void fitLegend(QCustomPlot* canvas, int wrap)
{
    QCPLegend* legend = canvas->legend;
    int widest = 1;
    for (int i = 0; i < legend->itemCount(); ++i)
        if (const auto* item = legend->item(i))
            widest = std::max(widest, item->minimumOuterSizeHint().width() + legend->columnSpacing());
    const int fitting = std::clamp((canvas->viewport().width() - 24) / widest, 1, wrap);
    if (legend->wrap() == fitting)
        return;
    legend->setWrap(fitting);
    legend->setFillOrder(legend->fillOrder(), true);
}

void listDownward(QCustomPlot* canvas)
{
    canvas->yAxis->setRangeReversed(true);
    canvas->yAxis->setSubTicks(false);
    canvas->yAxis->grid()->setVisible(false);
    canvas->axisRect()->setRangeDrag(Qt::Vertical);
    canvas->axisRect()->setRangeZoom(Qt::Vertical);
}

int listedRowAt(const QCustomPlot* canvas, QPointF position, std::size_t count)
{
    const QRect rect = canvas->axisRect()->rect();
    // Labels count as well: what is drawn may be a small target.
    if (position.y() < rect.top() || position.y() > rect.bottom() || position.x() > rect.right())
        return -1;
    const auto row = std::lround(canvas->yAxis->pixelToCoord(position.y()));
    return row >= 0 && row < static_cast<long>(count) ? static_cast<int>(row) : -1;
}

void placeLegendAbove(QCustomPlot* canvas, int wrap)
{
    setUpLegend(canvas->legend, wrap);
    canvas->plotLayout()->insertRow(0);
    auto* line = new QCPLayoutGrid;
    line->setMargins(QMargins(8, 6, 8, 0));
    canvas->plotLayout()->addElement(0, 0, line);
    line->addElement(0, 0, canvas->legend);
    // An empty stretching element keeps the legend at the left.
    line->addElement(0, 1, new QCPLayoutElement(canvas));
    line->setColumnStretchFactor(0, 0.001);
    canvas->plotLayout()->setRowStretchFactor(0, 0.001);
    canvas->plotLayout()->setRowSpacing(0);
    canvas->legend->setVisible(true);
    // Fewer entries per line where the plot is narrow: a squeezed legend loses the ends of its names.
    QObject::connect(canvas, &QCustomPlot::beforeReplot, canvas, [canvas, wrap] { fitLegend(canvas, wrap); });
}
