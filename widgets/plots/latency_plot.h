// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "widgets/plots/plot.h"

#include <array>
#include <vector>

class QCPAxisRect;

/// Projected speed and energy of the base and of recipes on one device.
struct LatencyData {
    struct Entry {
        QString label;
        double prefillTokensPerSecond = 0.0;
        double decodeTokensPerSecond = 0.0;
        double energyPerToken = 0.0;  ///< joules
    };
    std::vector<Entry> entries;  ///< the base first
};

/// Three small panels side by side, since their units have nothing in common; each bar tells its value and how it
/// compares to the first.
class LatencyPlot final : public Plot
{
    Q_OBJECT
public:
    explicit LatencyPlot(QWidget* parent = nullptr);

    void setData(LatencyData content);
    PlotTable table() const override;
    /// The text at the end of a bar: "62.1" and below "3.4×".
    QString barText(int panel, int entry) const;

protected:
    QString hoverText(QPointF position) const override;
    void applyTheme() override;
    void resetView() override;

private:
    double value(std::size_t panel, std::size_t entry) const;
    void rebuild();

    LatencyData m_data;
    std::array<QCPAxisRect*, 3> m_panels {};  // owned by the canvas
};
