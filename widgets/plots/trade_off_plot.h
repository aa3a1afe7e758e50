// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/study/error_metric.h"
#include "widgets/plots/plot.h"

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

class PointLabels;
class QCPGraph;

/// Size against weight error: uniform recipes, the mixed-precision frontier and the current recipe.
struct TradeOffData {
    struct Place {
        QString label;
        double bytes = 0.0, bitsPerWeight = 0.0, error = 0.0;  ///< error NaN: not measured completely, not drawn
    };
    quantloupe::ErrorMetric metric = quantloupe::ErrorMetric::ModelError;  ///< what errors are
    std::vector<Place> uniform;
    std::vector<Place> frontier;  ///< ascending bytes
    std::optional<Place> current;
};

/// The picture of the decision. Dragging the ring or the frontier moves the budget, a click on a point adopts it.
class TradeOffPlot final : public Plot
{
    Q_OBJECT
public:
    explicit TradeOffPlot(QWidget* parent = nullptr);

    void setData(TradeOffData content);
    /// Moves the ring alone: cheap enough for every step of a drag.
    void setCurrent(const std::optional<TradeOffData::Place>& current);
    const TradeOffData& data() const { return m_data; }
    PlotTable table() const override;
    /// A place in pixels of the canvas.
    QPointF pixelOf(const TradeOffData::Place& place) const;

Q_SIGNALS:
    void budgetDragged(quint64 bytes);
    void budgetDragFinished();
    void pointAdopted(const QString& label);

protected:
    QString hoverText(QPointF position) const override;
    void clicked(QPointF position) override;
    void extendMenu(QMenu* menu) override;
    void applyTheme() override;
    void resetView() override;

private:
    const TradeOffData::Place* uniformAt(QPointF position) const;
    std::optional<std::size_t> frontierAt(QPointF position, double tolerance) const;
    void press(QPointF position);
    void drag(QPointF position);
    void release();
    void rebuild();
    /// Left, right, bottom and top of what is in view, in units of the axes.
    std::array<double, 4> shownEdges() const;

    TradeOffData m_data;
    std::array<double, 4> m_fitted {};  ///< shownEdges() after the last reset: unchanged, nobody has zoomed since
    QPointF m_pressed;
    bool m_mayDrag = false, m_dragging = false;
    QCPGraph *m_frontier, *m_uniform, *m_ring;  // owned by the canvas
    PointLabels* m_labels;                      // owned by the canvas
};
