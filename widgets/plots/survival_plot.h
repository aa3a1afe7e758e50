// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "widgets/plots/plot.h"

#include <vector>

/// How heavy the tails are: the share of weights farther than k standard deviations from the mean, against what a
/// normal distribution would have. Above the reference means outliers.
class SurvivalPlot final : public Plot
{
    Q_OBJECT
public:
    explicit SurvivalPlot(QWidget* parent = nullptr);

    /// survival[i]: share of weights beyond 0.25·i σ, as in WeightStatistics. Empty clears.
    void setSurvival(std::vector<double> survival);
    PlotTable table() const override;

    /// Share of a normal distribution beyond `sigmas` standard deviations, both sides.
    static double normalSurvival(double sigmas);

protected:
    QString hoverText(QPointF position) const override;
    void applyTheme() override;
    void resetView() override;

private:
    std::vector<double> m_survival;
};
