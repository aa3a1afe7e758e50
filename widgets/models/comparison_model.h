// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/analysis/comparison.h"

#include <QAbstractTableModel>
#include <QString>

#include <cstddef>
#include <memory>
#include <vector>

/// Two recipes tensor by tensor, in the model's order; only those that differ, or all.
class ComparisonModel final : public QAbstractTableModel
{
    Q_OBJECT
public:
    enum Column {
        Tensor,
        FirstScheme,
        SecondScheme,
        FirstBytes,
        SecondBytes,
        FirstSqnr,
        SecondSqnr,
        FirstValue,
        SecondValue,
        ColumnCount
    };
    /// The unformatted value, for sorting.
    static constexpr int ValueRole = Qt::UserRole;
    static constexpr int TensorRole = Qt::UserRole + 1;

    using QAbstractTableModel::QAbstractTableModel;

    /// `metricTitle`: what the values are called. A null comparison: nothing.
    void setComparison(std::shared_ptr<const quantloupe::Comparison> comparison, const quantloupe::ModelCatalog& model,
        const QString& metricTitle, bool all);

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role = Qt::DisplayRole) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role = Qt::DisplayRole) const override;

private:
    QVariant valueOf(std::size_t tensor, int column) const;

    std::shared_ptr<const quantloupe::Comparison> m_comparison;
    std::vector<std::size_t> m_rows;  ///< indices into the catalog
    std::vector<QString> m_names;     ///< of the catalog's tensors
    QString m_metric;
};
