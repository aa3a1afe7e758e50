// SPDX-License-Identifier: GPL-3.0-or-later
// The two parts that a tensor × scheme map needs beyond QCustomPlot: cells that stay crisp in vector images, and row
// labels that thin out.
#pragma once

#include "widgets/plots/sensitivity_map_plot.h"
#include "widgets/support/qcustomplot.h"

#include <QColor>

#include <vector>

/// Draws the cells, the strip of role colours before them, the recipe's rings and the selection. QCPColorMap would
/// embed an image, which readers of vector files blur.
class HeatCells final : public QCPAbstractItem
{
public:
    explicit HeatCells(QCustomPlot* canvas);

    double selectTest(const QPointF& position, bool onlySelectable, QVariant* details) const override;

    /// Width of the role strip in units of the column axis.
    static double stripWidth(int columns);

    const SensitivityMapData* data = nullptr;
    std::vector<QColor> colors;  ///< row-major; invalid where nothing was measured
    std::vector<bool> selected;  ///< by row
    PlotTheme theme;

protected:
    void draw(QCPPainter* painter) override;

private:
    void drawPooled(QCPPainter* painter, int first, int last) const;
    void drawCell(QCPPainter* painter, const QRectF& cell, int row, int column) const;
    QRectF rowRect(int row, double left, double right) const;
};

/// Every row's label where there is room, else one label per group, else every k-th group.
class RowTicker final : public QCPAxisTicker
{
public:
    explicit RowTicker(QCPAxis* axis);

    const SensitivityMapData* data = nullptr;

protected:
    void generate(const QCPRange& range, const QLocale& locale, QChar formatChar, int precision, QVector<double>& ticks,
        QVector<double>* subTicks, QVector<QString>* tickLabels) override;

private:
    QCPAxis* m_axis;
};
