// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/recipes/plan.h"

#include <QAbstractTableModel>

#include <optional>
#include <vector>

/// Which tensors two plans of one model treat differently, largest change of bytes first.
class PlanChangesModel final : public QAbstractTableModel
{
    Q_OBJECT
public:
    enum Column { Tensor, Before, After, Change, ColumnCount };
    enum Role { NameRole = Qt::UserRole, ChangeRole };  ///< QString; qint64 bytes

    explicit PlanChangesModel(QObject* parent = nullptr);

    /// Plans of `model`; a plan of another number of tensors gives no rows.
    void setPlans(const quantloupe::ModelCatalog& model, const quantloupe::Plan& before, const quantloupe::Plan& after);
    void clear();

    int grown() const { return m_grown; }    ///< tensors that take more bytes
    int shrunk() const { return m_shrunk; }  ///< tensors that take fewer
    qint64 totalChange() const { return m_total; }

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role) const override;

private:
    struct Row {
        QString tensor, before, after;
        qint64 change = 0;  ///< bytes
    };
    std::vector<Row> m_rows;
    int m_grown = 0, m_shrunk = 0;
    qint64 m_total = 0;
};
