// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/training/training_trace.h"
#include "widgets/plots/plot.h"

#include <cstdint>
#include <vector>

struct StepSizeData {
    QString tensor {};
    std::vector<quantloupe::StepSpread> spreads {};  ///< ascending
    std::uint64_t steps = 0;                         ///< of the whole training
    bool operator==(const StepSizeData&) const = default;
};

/// How the scales of one matrix move while it is trained: the median over its units and two bands of quantiles, as
/// shares of what they began with.
class StepSizePlot final : public Plot
{
    Q_OBJECT
public:
    explicit StepSizePlot(QWidget* parent = nullptr);

    void setData(StepSizeData content);
    const StepSizeData& data() const { return m_data; }
    PlotTable table() const override;

protected:
    QString hoverText(QPointF position) const override;
    void applyTheme() override;
    void resetView() override;

private:
    StepSizeData m_data;
};
