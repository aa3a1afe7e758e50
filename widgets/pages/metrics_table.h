// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/analysis/inspect.h"

#include <QTableWidget>

/// Figures of one tensor: as stored, under the scheme, and the difference to a pinned scheme. Each row explains itself
/// in a tooltip.
class MetricsTable final : public QTableWidget
{
    Q_OBJECT
public:
    explicit MetricsTable(QWidget* parent = nullptr);

    /// What is shown; null pointers leave their columns empty.
    struct Figures {
        const quantloupe::CatalogTensor* tensor = nullptr;
        const quantloupe::WeightStatistics* weights = nullptr;
        const quantloupe::SchemeMeasurement* current = nullptr;
        const quantloupe::LayerInspection* inspection = nullptr;  ///< of the same scheme, where there is one
        bool isPreview = false;                                   ///< from a sample of rows
        const quantloupe::SchemeMeasurement* pinned = nullptr;
        QString pinnedName {};
    };
    void setFigures(const Figures& figures);

    QSize sizeHint() const override;

protected:
    void changeEvent(QEvent* event) override;

private:
    enum Column { Metric, Before, After, Difference, ColumnCount };
};
