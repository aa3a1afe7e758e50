// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "widgets/plots/plot.h"

#include <cstdint>
#include <vector>

class QCPBars;
class QCPTextElement;

/// How often each code of a format occurs: levels that are hardly used are bits paid for nothing.
class OccupancyPlot final : public Plot
{
    Q_OBJECT
public:
    explicit OccupancyPlot(QWidget* parent = nullptr);

    /// Counts by code from the lowest value up; empty clears. `levels`: the values codes stand for, for hovering; may
    /// be empty.
    void setOccupancy(std::vector<std::uint64_t> counts, double entropyBits, std::vector<float> levels = {});
    PlotTable table() const override;

protected:
    QString hoverText(QPointF position) const override;
    void applyTheme() override;
    void resetView() override;

private:
    double share(std::size_t code) const;

    std::vector<std::uint64_t> m_counts;
    std::vector<float> m_levels;
    double m_total = 0.0;
    QCPBars* m_bars;         ///< owned by the canvas
    QCPTextElement* m_note;  ///< owned by the canvas
};
