// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/heat_cells.h"

#include "widgets/plots/metric_text.h"

#include <QFontMetricsF>

#include <algorithm>
#include <cmath>

namespace {

/// Below this many pixels a row is no longer drawn by itself.
constexpr double smallestRow = 1.0;

/// Black or white, whichever reads better on the cell. Source: relative luminance, WCAG 2.1.
QColor textOn(const QColor& background)
{
    const auto linear = [](double channel) {
        return channel <= 0.04045 ? channel / 12.92 : std::pow((channel + 0.055) / 1.055, 2.4);
    };
    const double luminance =
        0.2126 * linear(background.redF()) + 0.7152 * linear(background.greenF()) + 0.0722 * linear(background.blueF());
    return luminance > 0.18 ? QColor(0x15181c) : QColor(0xffffff);
}

}  // namespace

HeatCells::HeatCells(QCustomPlot* canvas)
    : QCPAbstractItem(canvas)
{
    setClipToAxisRect(true);
    setSelectable(false);
}

double HeatCells::selectTest(const QPointF&, bool, QVariant*) const
{
    return -1.0;
}

double HeatCells::stripWidth(int columns)
{
    return 0.012 * std::max(columns, 1);
}

QRectF HeatCells::rowRect(int row, double left, double right) const
{
    const QCPAxis* axis = mParentPlot->yAxis;
    const QRectF rect(QPointF(left, axis->coordToPixel(row - 0.5)), QPointF(right, axis->coordToPixel(row + 0.5)));
    // Vector images are not clipped: what is outside must not be drawn.
    return rect.intersected(QRectF(mParentPlot->axisRect()->rect()));
}

void HeatCells::draw(QCPPainter* painter)
{
    if (!data || data->rows.empty() || data->schemes.isEmpty())
        return;
    painter->setAntialiasing(false);
    painter->setPen(Qt::NoPen);
    const QCPRange range = mParentPlot->yAxis->range();
    const int count = static_cast<int>(data->rows.size());
    const int first = std::clamp(static_cast<int>(std::floor(range.lower + 0.5)), 0, count - 1);
    const int last = std::clamp(static_cast<int>(std::ceil(range.upper - 0.5)), 0, count - 1);
    const double rowHeight = std::abs(mParentPlot->yAxis->coordToPixel(1) - mParentPlot->yAxis->coordToPixel(0));
    const QCPAxis* columns = mParentPlot->xAxis;
    const double stripLeft = columns->coordToPixel(-0.5 - stripWidth(static_cast<int>(data->schemes.size())));
    const double stripRight = columns->coordToPixel(-0.5) - 2.0;

    if (rowHeight < smallestRow) {
        drawPooled(painter, first, last);
    } else {
        for (int row = first; row <= last; ++row) {
            for (int column = 0; column < data->schemes.size(); ++column)
                drawCell(painter,
                    rowRect(row, columns->coordToPixel(column - 0.5), columns->coordToPixel(column + 0.5)), row,
                    column);
        }
    }
    for (int row = first; row <= last; ++row) {
        const QRectF strip = rowRect(row, stripLeft, stripRight);
        painter->fillRect(strip, roleColor(data->rows[static_cast<std::size_t>(row)].role, theme.dark));
    }
    // Selection last, over its neighbours.
    for (int row = first; row <= last; ++row) {
        if (!selected[static_cast<std::size_t>(row)])
            continue;
        QRectF frame = rowRect(row, stripLeft, columns->coordToPixel(static_cast<double>(data->schemes.size()) - 0.5));
        if (frame.isEmpty())
            continue;
        // A row of one pixel still needs a mark that can be seen.
        if (frame.height() < 4.0)
            frame.adjust(0, -2, 0, 2);
        painter->setAntialiasing(true);
        painter->setBrush(Qt::NoBrush);
        painter->setPen(QPen(theme.background, 4));
        painter->drawRect(frame);
        painter->setPen(QPen(theme.text, 2));
        painter->drawRect(frame);
        painter->setAntialiasing(false);
    }
}

void HeatCells::drawPooled(QCPPainter* painter, int first, int last) const
{
    // Several rows share a pixel: it shows the worst of them, so that no sensitive tensor hides behind its neighbours.
    const QCPAxis* axis = mParentPlot->yAxis;
    const bool higher = quantloupe::higherIsBetter(data->metric);
    const int columns = static_cast<int>(data->schemes.size());
    for (int column = 0; column < columns; ++column) {
        const double left = mParentPlot->xAxis->coordToPixel(column - 0.5);
        const double right = mParentPlot->xAxis->coordToPixel(column + 0.5) - 1.0;
        int row = first;
        while (row <= last) {
            const double pixel = std::floor(axis->coordToPixel(row));
            int worst = -1;
            bool chosen = false;
            for (; row <= last && std::floor(axis->coordToPixel(row)) == pixel; ++row) {
                const auto at = [&](int index) {
                    return data->rows[static_cast<std::size_t>(index)].values[static_cast<std::size_t>(column)];
                };
                chosen = chosen || data->rows[static_cast<std::size_t>(row)].chosen == column;
                if (std::isnan(at(row)))
                    continue;
                if (worst < 0 || (higher ? at(row) < at(worst) : at(row) > at(worst)))
                    worst = row;
            }
            const QColor color = worst < 0 ? QColor()
                                           : colors[static_cast<std::size_t>(worst) * static_cast<std::size_t>(columns)
                                               + static_cast<std::size_t>(column)];
            const QRectF line =
                QRectF(left, pixel, right - left, 1.0).intersected(QRectF(mParentPlot->axisRect()->rect()));
            painter->fillRect(line, color.isValid() ? color : theme.grid);
            if (chosen)
                painter->fillRect(QRectF(line.right() - 5.0, line.top(), 3.0, line.height()),
                    textOn(color.isValid() ? color : theme.grid));
        }
    }
}

void HeatCells::drawCell(QCPPainter* painter, const QRectF& cell, int row, int column) const
{
    if (cell.isEmpty())
        return;
    // Whole pixels: neither seams nor overlaps between neighbours.
    const double gap = cell.height() >= 7.0 ? 1.0 : 0.0;
    const double left = std::round(cell.left()), top = std::round(cell.top());
    const QRectF box(left, top, std::max(1.0, std::round(cell.right()) - left - 1.0),
        std::max(1.0, std::round(cell.bottom()) - top - gap));
    const auto& values = data->rows[static_cast<std::size_t>(row)];
    const QColor color = colors[static_cast<std::size_t>(row) * static_cast<std::size_t>(data->schemes.size())
        + static_cast<std::size_t>(column)];
    painter->fillRect(box, color.isValid() ? color : theme.grid);
    const QColor ink = textOn(color.isValid() ? color : theme.grid);

    const QFont font = mParentPlot->yAxis->tickLabelFont();
    const QFontMetricsF metrics(font);
    const bool chosen = values.chosen == column;
    const double ring = std::clamp(box.height() * 0.28, 1.5, 4.0);
    const double ringRoom = chosen ? 2.0 * ring + 8.0 : 0.0;
    if (cell.height() >= metrics.height() - 1.0 && color.isValid()) {
        const QString text = metricCell(data->metric, values.values[static_cast<std::size_t>(column)]);
        if (metrics.horizontalAdvance(text) + 8.0 + 2.0 * ringRoom <= box.width()) {
            painter->setFont(font);
            painter->setPen(ink);
            painter->drawText(box, Qt::AlignCenter | Qt::TextDontClip, text);
            painter->setPen(Qt::NoPen);
        }
    }
    if (chosen && cell.height() < 9.0) {
        // No room for a ring: a notch, which joins its neighbours to a line down the column.
        painter->fillRect(QRectF(box.right() - 5.0, box.top(), 3.0, box.height()), ink);
    } else if (chosen) {
        painter->setAntialiasing(true);
        painter->setPen(QPen(ink, ring > 2.5 ? 1.6 : 1.0));
        painter->setBrush(Qt::NoBrush);
        painter->drawEllipse(QPointF(box.right() - ring - 4.0, box.center().y()), ring, ring);
        painter->setPen(Qt::NoPen);
        painter->setAntialiasing(false);
    }
}

RowTicker::RowTicker(QCPAxis* axis)
    : m_axis(axis)
{
}

void RowTicker::generate(const QCPRange& range, const QLocale&, QChar, int, QVector<double>& ticks,
    QVector<double>* subTicks, QVector<QString>* tickLabels)
{
    ticks.clear();
    if (subTicks)
        subTicks->clear();
    if (tickLabels)
        tickLabels->clear();
    if (!data || data->rows.empty())
        return;
    const auto add = [&](double position, const QString& text) {
        ticks << position;
        if (tickLabels)
            *tickLabels << text;
    };
    // The axis rectangle is laid out after its ticks; the viewport less a line of scheme names is near enough.
    const double line = QFontMetricsF(m_axis->tickLabelFont()).height();
    const double height = std::max(1.0, m_axis->parentPlot()->viewport().height() - 4.0 * line);
    const double rowHeight = height / std::max(range.size(), 1.0);
    const int count = static_cast<int>(data->rows.size());
    const int first = std::clamp(static_cast<int>(std::ceil(range.lower)), 0, count - 1);
    const int last = std::clamp(static_cast<int>(std::floor(range.upper)), 0, count - 1);
    if (rowHeight >= line) {
        for (int row = first; row <= last; ++row)
            add(row, data->rows[static_cast<std::size_t>(row)].label);
        return;
    }
    struct Group {
        int begin, end;
    };
    std::vector<Group> groups;
    for (int row = 0; row < count; ++row) {
        const auto& name = data->rows[static_cast<std::size_t>(row)].group;
        if (groups.empty() || data->rows[static_cast<std::size_t>(groups.back().begin)].group != name)
            groups.push_back({row, row + 1});
        else
            groups.back().end = row + 1;
    }
    // Every k-th label where all groups are small, so that the steps between labels stay even.
    const double groupHeight = rowHeight * count / static_cast<double>(groups.size());
    const std::size_t step = std::max<std::size_t>(1, static_cast<std::size_t>(std::ceil(line / groupHeight)));
    double previous = -1e9;
    for (std::size_t i = 0; i < groups.size(); i += step) {
        const double center = 0.5 * (groups[i].begin + groups[i].end - 1);
        if (center < range.lower || center > range.upper || (center - previous) * rowHeight < line)
            continue;
        previous = center;
        add(center, data->rows[static_cast<std::size_t>(groups[i].begin)].group);
    }
}
