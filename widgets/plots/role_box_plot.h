// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/model/tensor_role.h"
#include "core/study/error_metric.h"
#include "core/report/five_numbers.h"
#include "widgets/plots/plot.h"

#include <vector>

/// One metric under one scheme, by role.
struct RoleBoxData {
    struct Box {
        quantloupe::TensorRole role = quantloupe::TensorRole::Other;
        quantloupe::FiveNumbers numbers {};
        QStringList tensors;
        std::vector<double> values;  ///< one per tensor
    };
    quantloupe::ErrorMetric metric = quantloupe::ErrorMetric::Sqnr;
    QString scheme;
    std::vector<Box> boxes;
};

/// A box per role with the tensors themselves as dots: which roles suffer, and which single tensors stand out.
class RoleBoxPlot final : public Plot
{
    Q_OBJECT
public:
    explicit RoleBoxPlot(QWidget* parent = nullptr);

    void setData(RoleBoxData content);
    void setSelected(const QStringList& tensors);
    PlotTable table() const override;
    /// Where a tensor's dot is, in pixels of the canvas.
    QPointF dotCenter(const QString& tensor) const;

protected:
    QString hoverText(QPointF position) const override;
    QString tensorAt(QPointF position) const override;
    void applyTheme() override;
    void resetView() override;

private:
    struct Dot {
        QString tensor;
        double x = 0.0, y = 0.0;
    };
    const Dot* dotAt(QPointF position) const;
    void rebuild();

    RoleBoxData m_data;
    QStringList m_selected;
    std::vector<Dot> m_dots;
};
