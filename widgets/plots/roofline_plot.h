// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "widgets/plots/plot.h"

#include <vector>

class PointLabels;

/// What a device can do at best, and where the operations of a decode step lie.
struct RooflineData {
    struct Roof {
        QString label;      ///< operand type: "fp16"
        double rate = 0.0;  ///< operations per second, efficiency included
    };
    struct Point {
        QString label;
        int series = 0;          ///< 0: as stored, 1: the recipe
        double intensity = 0.0;  ///< operations per byte
        double rate = 0.0;       ///< operations per second
        double seconds = 0.0;
        bool memoryBound = true;
    };
    QString device;
    double bandwidth = 0.0;  ///< bytes per second, efficiency included
    std::vector<Roof> roofs;
    QStringList series;
    std::vector<Point> points;
};

/// Log-log roofline. Points on the slope wait for memory, points under a flat roof for arithmetic.
class RooflinePlot final : public Plot
{
    Q_OBJECT
public:
    explicit RooflinePlot(QWidget* parent = nullptr);

    void setData(RooflineData content);
    PlotTable table() const override;
    QPointF pointCenter(int point) const;

protected:
    QString hoverText(QPointF position) const override;
    void applyTheme() override;
    void resetView() override;

private:
    void rebuild();

    RooflineData m_data;
    PointLabels* m_labels;  // owned by the canvas
};
