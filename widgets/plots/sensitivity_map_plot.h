// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/model/tensor_role.h"
#include "core/study/error_metric.h"
#include "widgets/plots/plot.h"

#include <QSharedPointer>

#include <optional>
#include <utility>
#include <vector>

class HeatCells;
class RowTicker;
class QCPColorScale;

/// What the map draws: a row per tensor in display order, a column per scheme.
struct SensitivityMapData {
    struct Row {
        QString tensor;  ///< as in the model
        QString label;   ///< short: "12 · Down"
        QString group;   ///< rows of one group are neighbours: a role, or a block
        quantloupe::TensorRole role = quantloupe::TensorRole::Other;
        std::vector<double> values;  ///< one per scheme; NaN: not measured
        int chosen = -1;             ///< column of the recipe's scheme; −1: none of them
    };
    quantloupe::ErrorMetric metric = quantloupe::ErrorMetric::Sqnr;
    QStringList schemes;
    std::vector<Row> rows;
};

/// Heat map tensor × scheme. Brighter is worse, whatever the metric; the ring marks the recipe's scheme.
class SensitivityMapPlot final : public Plot
{
    Q_OBJECT
public:
    explicit SensitivityMapPlot(QWidget* parent = nullptr);
    ~SensitivityMapPlot() override;

    void setData(SensitivityMapData content);
    const SensitivityMapData& data() const { return m_data; }
    void setSelected(const QStringList& tensors);
    PlotTable table() const override;

    /// The middle of a cell in pixels of the canvas; for keyboards, help and tests.
    QPointF cellCenter(int row, int column) const;

Q_SIGNALS:
    void schemeChosen(const QString& tensor, const QString& scheme);

protected:
    QString hoverText(QPointF position) const override;
    QString tensorAt(QPointF position) const override;
    void extendMenu(QMenu* menu) override;
    void applyTheme() override;
    void resetView() override;
    void layOut(QSize size) override;

private:
    std::optional<std::pair<int, int>> cellAt(QPointF position) const;
    void updateColors();
    void fitTitles();  ///< stands the titles of columns on end where the columns are too narrow for them

    SensitivityMapData m_data;
    QStringList m_selected;
    std::optional<bool> m_titlesUpright;  ///< nothing: to be laid out anew
    std::optional<std::pair<int, int>> m_menuCell;
    HeatCells* m_cells;      // owned by the canvas
    QCPColorScale* m_scale;  // owned by the canvas
    QSharedPointer<RowTicker> m_rowTicker;
};
