// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "widgets/plots/plot.h"

#include <vector>

class QCPGraph;

/// How error grows or dies on its way through a model: signal over error in the residual stream, in decibels, behind
/// the embedding and behind each block.
class DepthErrorPlot final : public Plot
{
    Q_OBJECT
public:
    explicit DepthErrorPlot(QWidget* parent = nullptr);

    /// The first behind the embedding, each further one behind a block; infinite: no error there.
    void setData(std::vector<double> decibels);
    PlotTable table() const override;

protected:
    QString hoverText(QPointF position) const override;
    void applyTheme() override;
    void resetView() override;

private:
    static QString place(std::size_t index);
    static QString value(double decibels);

    std::vector<double> m_decibels;
    QCPGraph* m_graph;
};
