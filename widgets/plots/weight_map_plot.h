// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/analysis/inspect.h"
#include "widgets/plots/plot.h"

#include <QTimer>

class QCPColorMap;
class QCPColorScale;

/// A matrix as colours, rows downwards. Zooming asks for the rectangle in view, so that close up real weights are shown
/// instead of pooled ones.
class WeightMapPlot final : public Plot
{
    Q_OBJECT
public:
    explicit WeightMapPlot(QWidget* parent = nullptr);

    /// A raster of a part of a matrix of this size. Another matrix size shows the whole, else the view stays.
    void setMap(quantloupe::WeightMap map, quantloupe::MatrixShape matrix);
    void clear();
    PlotTable table() const override;

    /// The rectangle in view, whole rows and columns; no rows: nothing is known yet, the whole is wanted.
    struct View {
        quint64 firstRow = 0, firstColumn = 0, rows = 0, columns = 0;
    };
    View view() const;
    /// Shows the whole of a matrix whose map is still to come.
    void setMatrix(quantloupe::MatrixShape matrix);

    /// Brings a row or column of the matrix into view, with its neighbours, over the whole of the other direction.
    void showChannel(bool row, int channel);

    /// Cells that fit on the screen now: what to pool to.
    QSize rasterSize() const;

Q_SIGNALS:
    /// The view came to rest on another rectangle of the matrix; whole rows and columns.
    void rectangleRequested(quint64 firstRow, quint64 firstColumn, quint64 rows, quint64 columns);

protected:
    QString hoverText(QPointF position) const override;
    void applyTheme() override;
    void resetView() override;
    void resizeEvent(QResizeEvent* event) override;

private:
    void fillCells();
    void requestRectangle();

    quantloupe::WeightMap m_map;
    quantloupe::MatrixShape m_matrix;
    QCPColorMap* m_colors;   ///< owned by the canvas
    QCPColorScale* m_scale;  ///< owned by the canvas
    QTimer m_rest;           ///< runs while the view moves
};
