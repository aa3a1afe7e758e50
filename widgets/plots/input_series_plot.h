// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "widgets/plots/plot.h"

#include <vector>

class QCPGraph;

/// One figure of the inputs that calibration has seen, in the order in which the model reads them; it grows while a
/// calibration runs.
class InputSeriesPlot : public Plot
{
    Q_OBJECT
public:
    struct Point {
        QString layer;       ///< that reads the inputs
        double value = 0.0;  ///< NaN: not known
    };
    void setData(std::vector<Point> points);
    PlotTable table() const override;

protected:
    enum class Scale { Linear, Logarithmic };
    /// `limit`: drawn dashed; NaN: none.
    InputSeriesPlot(const QString& axis, Scale scale, double limit, QWidget* parent);

    virtual QString valueText(double value) const = 0;
    QString hoverText(QPointF position) const override;
    void applyTheme() override;
    void resetView() override;

private:
    bool isDrawn(double value) const;

    QString m_axis;
    Scale m_scale;
    double m_limit;
    std::vector<Point> m_points;
    QCPGraph *m_graph, *m_line;
};

/// How much louder than the median channel the loudest gets: what breaks 8-bit activations.
class LoudestChannelPlot final : public InputSeriesPlot
{
    Q_OBJECT
public:
    explicit LoudestChannelPlot(QWidget* parent = nullptr);

protected:
    QString valueText(double value) const override;
};

/// How far the second moments have moved since half of the tokens: what more text would still change.
class MovedMomentsPlot final : public InputSeriesPlot
{
    Q_OBJECT
public:
    explicit MovedMomentsPlot(QWidget* parent = nullptr);

protected:
    QString valueText(double value) const override;
};
