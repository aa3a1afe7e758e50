// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/analysis/findings.h"

#include <QAbstractTableModel>

#include <vector>

/// One row per finding, worst first as it was computed.
class FindingsModel final : public QAbstractTableModel
{
    Q_OBJECT
public:
    enum Column { Tensor, Text, SchemeName, Severity, ColumnCount };
    /// The unformatted value, for sorting.
    static constexpr int ValueRole = Qt::UserRole;
    /// The tensor a row leads to.
    static constexpr int TensorRole = Qt::UserRole + 1;

    using QAbstractTableModel::QAbstractTableModel;

    /// Keeps the rows, and with them the view's selection, when nothing changed.
    void setFindings(std::vector<quantloupe::Finding> findings);

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role = Qt::DisplayRole) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role = Qt::DisplayRole) const override;

private:
    std::vector<quantloupe::Finding> m_findings;
};
