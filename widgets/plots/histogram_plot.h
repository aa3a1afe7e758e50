// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "widgets/plots/histogram_curve.h"
#include "widgets/plots/plot.h"

class QCPGraph;

/// What the weight histogram shows.
struct WeightHistogramData {
    quantloupe::Histogram original;
    quantloupe::Histogram quantized {};     ///< with the bins of the original; empty: not quantized
    QString scheme {};                      ///< of the quantized weights
    std::vector<float> levels {};           ///< values that codes stand for, ascending
    std::vector<NamedHistogram> pinned {};  ///< quantized under other schemes, the same bins
};

/// Weights before (filled) and after quantization (outline), with the quantization levels as ticks along the top.
class HistogramPlot final : public Plot
{
    Q_OBJECT
public:
    explicit HistogramPlot(QWidget* parent = nullptr);

    /// The view stays when the tensor does: `keepView` while schemes are tried.
    void setData(WeightHistogramData histogram, bool keepView = false);
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

    WeightHistogramData m_data;
    bool m_logarithmic = true;
};
