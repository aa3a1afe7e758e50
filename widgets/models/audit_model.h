// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/analysis/audit.h"

#include <QAbstractTableModel>

#include <memory>

using AuditPointer = std::shared_ptr<const quantloupe::Audit>;

/// What an audit found, a row per tensor in the original's order; then what is missing, extra or of another shape.
class AuditModel final : public QAbstractTableModel
{
    Q_OBJECT
public:
    enum Column {
        Tensor,
        StoredAs,
        Verdict,
        Bits,
        Sqnr,
        RelativeError,
        Cosine,
        MaxError,
        Best,
        Gain,
        Note,
        ColumnCount
    };
    /// The unformatted value, for sorting.
    static constexpr int ValueRole = Qt::UserRole;
    /// The tensor of the original a row leads to; empty for one that it does not have.
    static constexpr int TensorRole = Qt::UserRole + 1;

    using QAbstractTableModel::QAbstractTableModel;

    void setAudit(AuditPointer audit);  ///< null: nothing

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role = Qt::DisplayRole) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role = Qt::DisplayRole) const override;

    static QString verdictText(quantloupe::AuditVerdict verdict);

private:
    QVariant tensorData(const quantloupe::AuditedTensor& tensor, int column, bool shown) const;
    QVariant loneData(std::size_t row, int column) const;  ///< of rows beyond the tensors compared
    QString nameOf(std::size_t row) const;

    AuditPointer m_audit;
};
