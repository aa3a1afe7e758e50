// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "widgets/plots/histogram_curve.h"
#include "widgets/plots/plot.h"

#include <vector>

class QCPTextElement;

/// Distribution of the error w − ŵ as a density, with its 1st, 50th and 99th percentiles and what lies outside noted.
/// Densities, not counts: schemes with coarse and fine errors have different bins and stay comparable.
class ErrorHistogramPlot final : public Plot
{
    Q_OBJECT
public:
    explicit ErrorHistogramPlot(QWidget* parent = nullptr);

    /// `current` first, pinned schemes over it.
    void setData(NamedHistogram current, std::vector<NamedHistogram> pinned = {}, bool keepView = false);
    void clear();
    PlotTable table() const override;

    bool logarithmic() const { return m_logarithmic; }
    void setLogarithmic(bool logarithmic);

protected:
    QString hoverText(QPointF position) const override;
    void extendMenu(QMenu* menu) override;
    void applyTheme() override;
    void resetView() override;

private:
    void draw();
    void drawQuantiles();

    NamedHistogram m_current;
    std::vector<NamedHistogram> m_pinned;
    QCPTextElement* m_note;  ///< owned by the canvas
    bool m_logarithmic = false;
    double m_largest = 0.0, m_smallest = 0.0;  ///< densities drawn
};
