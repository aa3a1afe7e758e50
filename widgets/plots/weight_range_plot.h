// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/study/study.h"
#include "widgets/plots/plot.h"

#include <optional>
#include <vector>

class QCPItemRect;

/// The spread of one tensor's weights.
struct WeightRange {
    QString tensor;
    quantloupe::TensorRole role = quantloupe::TensorRole::Other;
    std::optional<unsigned> block {};
    double minimum = 0.0, maximum = 0.0;  ///< weight units, finite weights
    double percentile1 = 0.0, percentile99 = 0.0;
    bool operator==(const WeightRange&) const = default;
};

/// Ranges of every tensor that the study has measured and the catalog calls quantizable, in depth order: what stands
/// before the blocks, the blocks, what comes after.
std::vector<WeightRange> weightRanges(const quantloupe::ModelCatalog& catalog, const quantloupe::StudySnapshot& study);

/// Weight ranges over depth: whiskers from minimum to maximum, a box from the 1st to the 99th percentile, in the colour
/// of the role. A long whisker over a short box means outliers, which coarse grids pay for.
class WeightRangePlot final : public Plot
{
    Q_OBJECT
public:
    explicit WeightRangePlot(QWidget* parent = nullptr);

    void setRanges(std::vector<WeightRange> ranges);
    /// Marks tensors; names not drawn are ignored.
    void setSelection(const QStringList& tensors);
    PlotTable table() const override;

protected:
    QString hoverText(QPointF position) const override;
    QString tensorAt(QPointF position) const override;
    void applyTheme() override;
    void resetView() override;

private:
    const WeightRange* rangeAt(QPointF position) const;

    std::vector<WeightRange> m_ranges;
    std::vector<quantloupe::TensorRole> m_roles;  ///< of the plottables, in their order
    QStringList m_selection;
};
