// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/model/tensor_role.h"
#include "core/study/error_metric.h"
#include "widgets/plots/plot.h"

#include <vector>

/// One metric under one scheme over the blocks, a line per role.
struct DepthLinesData {
    struct Point {
        unsigned block = 0;
        double value = 0.0;
        QString tensor;
    };
    struct Line {
        quantloupe::TensorRole role = quantloupe::TensorRole::Other;
        std::vector<Point> points;  ///< ascending block
    };
    quantloupe::ErrorMetric metric = quantloupe::ErrorMetric::Sqnr;
    QString scheme;
    std::vector<Line> lines;
};

class DepthLinesPlot final : public Plot
{
    Q_OBJECT
public:
    explicit DepthLinesPlot(QWidget* parent = nullptr);

    void setData(DepthLinesData content);
    void setSelected(const QStringList& tensors);
    PlotTable table() const override;
    QPointF pointCenter(const QString& tensor) const;

protected:
    QString hoverText(QPointF position) const override;
    QString tensorAt(QPointF position) const override;
    void applyTheme() override;
    void resetView() override;

private:
    const DepthLinesData::Point* pointAt(QPointF position) const;
    QPointF pixel(const DepthLinesData::Point& point) const;
    void rebuild();

    DepthLinesData m_data;
    QStringList m_selected;
};
