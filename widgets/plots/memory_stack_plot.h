// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "widgets/plots/plot.h"

#include <vector>

/// Memory while running, by use, against what devices have. Bytes.
struct MemoryStackData {
    struct Bar {
        QString label;
        double weights = 0.0, keyValue = 0.0, activations = 0.0;
        double total() const { return weights + keyValue + activations; }
    };
    struct Limit {
        QString label;
        double bytes = 0.0;
    };
    std::vector<Bar> bars;
    std::vector<Limit> limits;
};

class MemoryStackPlot final : public Plot
{
    Q_OBJECT
public:
    explicit MemoryStackPlot(QWidget* parent = nullptr);

    void setData(MemoryStackData content);
    PlotTable table() const override;
    QPointF barCenter(int bar) const;

protected:
    QString hoverText(QPointF position) const override;
    void applyTheme() override;
    void resetView() override;

private:
    void rebuild();
    double shownUpTo() const;

    MemoryStackData m_data;
};
