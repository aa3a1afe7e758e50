// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "widgets/plots/plot.h"

#include <vector>

class QCPCurve;
class QCPErrorBars;
class QCPGraph;

/// What sums of layers' figures predict of whole recipes, beside what was measured.
struct TruthData {
    enum class Kind { Current, Uniform, Tried, Best };
    struct Point {
        QString label;
        Kind kind = Kind::Tried;
        double predicted = 0.0, measured = 0.0;  ///< nats per token; predicted NaN: not known, not drawn
        double standardError = 0.0;              ///< of `measured`; 0: not known
        double bytes = 0.0, bitsPerWeight = 0.0;
    };
    std::vector<Point> points;
};

/// Predicted against measured divergence; on the diagonal the prediction holds.
class TruthPlot final : public Plot
{
    Q_OBJECT
public:
    explicit TruthPlot(QWidget* parent = nullptr);

    void setData(TruthData content);
    const TruthData& data() const { return m_data; }
    PlotTable table() const override;
    /// A point in pixels of the canvas.
    QPointF pixelOf(const TruthData::Point& point) const;

protected:
    QString hoverText(QPointF position) const override;
    void applyTheme() override;
    void resetView() override;

private:
    void rebuild();
    QCPGraph* graphOf(TruthData::Kind kind) const { return m_graphs[static_cast<int>(kind)]; }

    TruthData m_data;
    QCPCurve* m_diagonal;        // all owned by the canvas
    QCPGraph* m_graphs[4] = {};  ///< by kind
    QCPErrorBars* m_bars[4] = {};
};
