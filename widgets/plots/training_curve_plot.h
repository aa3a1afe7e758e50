// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "widgets/plots/plot.h"

#include <cstdint>
#include <vector>

class QCPGraph;

/// A figure over the steps of a training.
struct TrainingCurve {
    QString name;
    std::vector<std::uint64_t> steps {};  ///< ascending
    std::vector<double> values {};        ///< one per step
    bool operator==(const TrainingCurve&) const = default;
};

struct TrainingCurvesData {
    std::vector<TrainingCurve> lines {};  ///< at most three; the first is the plot's subject
    double reference = 0.0;               ///< drawn across, where above 0
    QString referenceName {};
    std::uint64_t steps = 0;  ///< of the whole training: the axis ends there
    bool operator==(const TrainingCurvesData&) const = default;
};

/// Figures of a training over its steps, on a logarithmic axis, with a yardstick across.
class TrainingCurvePlot : public Plot
{
    Q_OBJECT
public:
    void setData(TrainingCurvesData content);
    const TrainingCurvesData& data() const { return m_data; }
    PlotTable table() const override;

protected:
    /// `axis`: what is drawn, with its unit.
    TrainingCurvePlot(const QString& axis, QWidget* parent);

    QString hoverText(QPointF position) const override;
    void applyTheme() override;
    void resetView() override;

private:
    void rebuild();

    TrainingCurvesData m_data;
    QString m_axis;
};

/// What the optimizer goes down by in each step, and the divergence on the held-out text.
class LossPlot final : public TrainingCurvePlot
{
    Q_OBJECT
public:
    explicit LossPlot(QWidget* parent = nullptr);
};

/// What one layer's outputs lose in each step of its own training, and on the held-out tokens that decide what is kept.
class LayerLossPlot final : public TrainingCurvePlot
{
    Q_OBJECT
public:
    explicit LayerLossPlot(QWidget* parent = nullptr);
};

/// Perplexity on the held-out text, with the original's.
class PerplexityPlot final : public TrainingCurvePlot
{
    Q_OBJECT
public:
    explicit PerplexityPlot(QWidget* parent = nullptr);
};
