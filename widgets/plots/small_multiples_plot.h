// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/statistics/histogram.h"
#include "widgets/plots/plot.h"

#include <vector>

/// One panel of the row.
struct SchemePanel {
    QString scheme;
    quantloupe::Histogram error;  ///< w − ŵ
    double sqnrDb = 0.0;
    double bitsPerWeight = 0.0;
    bool current = false;  ///< the recipe's scheme: framed in the accent colour
};

/// The same layer under every swept scheme: error histograms on one common scale, side by side.
class SmallMultiplesPlot final : public Plot
{
    Q_OBJECT
public:
    explicit SmallMultiplesPlot(QWidget* parent = nullptr);

    void setPanels(std::vector<SchemePanel> panels);
    PlotTable table() const override;

    /// Panels on one line before the next begins.
    static constexpr int panelsPerLine = 8;

Q_SIGNALS:
    void schemeClicked(const QString& scheme);

protected:
    QString hoverText(QPointF position) const override;
    void clicked(QPointF position) override;
    void applyTheme() override;
    void resetView() override;

private:
    int panelAt(QPointF position) const;

    std::vector<SchemePanel> m_panels;
};
