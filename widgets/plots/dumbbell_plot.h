// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/study/error_metric.h"
#include "widgets/plots/plot.h"

#include <vector>

/// Two figures of each of many tensors, in the model's order.
struct DumbbellData {
    struct Item {
        QString tensor, label;
        double first = 0.0, second = 0.0;  ///< NaN: not known; infinite SQNR: lossless; neither is drawn
        QString firstNote, secondNote;     ///< what each stands for, e.g. the scheme
    };
    quantloupe::ErrorMetric metric = quantloupe::ErrorMetric::Sqnr;
    QString firstName, secondName;
    std::vector<Item> items;
};

/// One line per tensor between its two figures: how long it is, and which end leads, is the difference.
class DumbbellPlot final : public Plot
{
    Q_OBJECT
public:
    explicit DumbbellPlot(QWidget* parent = nullptr);

    void setData(DumbbellData content);
    void setSelected(const QStringList& tensors);
    PlotTable table() const override;
    QPointF pointOf(int item) const;  ///< where the first figure is drawn, in pixels

protected:
    QString hoverText(QPointF position) const override;
    QString tensorAt(QPointF position) const override;
    void applyTheme() override;
    void resetView() override;
    void resizeEvent(QResizeEvent* event) override;

private:
    int itemAt(QPointF position) const;
    void rebuild();

    DumbbellData m_data;
    QStringList m_selected;
};
