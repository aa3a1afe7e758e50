// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "widgets/support/qcustomplot.h"

#include <QColor>
#include <QFont>
#include <QPointF>
#include <QString>

#include <vector>

/// Names beside points, each where it covers neither a point nor another name; a name that finds no place is left out
/// (hovering tells it). Placed anew at every drawing, so zooming in brings names back.
class PointLabels final : public QCPAbstractItem
{
public:
    struct Label {
        QPointF position;  ///< of its point, in axis coordinates
        QString text;
        QColor color;
    };

    explicit PointLabels(QCustomPlot* canvas);

    std::vector<Label> labels;       ///< the most important first
    std::vector<QPointF> obstacles;  ///< axis coordinates of what else must stay visible, e.g. a line's points
    QFont font;

    double selectTest(const QPointF& position, bool onlySelectable, QVariant* details) const override;

protected:
    void draw(QCPPainter* painter) override;
};
