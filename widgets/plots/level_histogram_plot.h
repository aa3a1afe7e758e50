// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/training/training_trace.h"
#include "widgets/plots/plot.h"

struct LevelHistogramData {
    QString tensor {};
    quantloupe::LevelHistogram beginning {}, now {};  ///< with the same bins
    bool operator==(const LevelHistogramData&) const = default;
};

/// Weights under training between the levels that they are rounded to: as they began (filled) and as they are
/// (outline), all groups laid over each other.
class LevelHistogramPlot final : public Plot
{
    Q_OBJECT
public:
    explicit LevelHistogramPlot(QWidget* parent = nullptr);

    void setData(LevelHistogramData content);
    const LevelHistogramData& data() const { return m_data; }
    PlotTable table() const override;

protected:
    QString hoverText(QPointF position) const override;
    void applyTheme() override;
    void resetView() override;

private:
    LevelHistogramData m_data;
};
