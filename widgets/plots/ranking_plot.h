// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/model/tensor_role.h"
#include "core/study/error_metric.h"
#include "widgets/plots/plot.h"

#include <vector>

/// The tensors that suffer most under one scheme, worst first.
struct RankingData {
    struct Item {
        QString tensor, label;
        quantloupe::TensorRole role = quantloupe::TensorRole::Other;
        double value = 0.0;
    };
    quantloupe::ErrorMetric metric = quantloupe::ErrorMetric::Sqnr;
    QString scheme;
    std::vector<Item> items;
};

/// Horizontal bars, one per tensor, coloured by role, the value at their ends.
class RankingPlot final : public Plot
{
    Q_OBJECT
public:
    explicit RankingPlot(QWidget* parent = nullptr);

    void setData(RankingData content);
    void setSelected(const QStringList& tensors);
    PlotTable table() const override;
    QPointF barCenter(int item) const;

protected:
    QString hoverText(QPointF position) const override;
    QString tensorAt(QPointF position) const override;
    void applyTheme() override;
    void resetView() override;

private:
    int itemAt(QPointF position) const;
    void rebuild();

    RankingData m_data;
    QStringList m_selected;
};
