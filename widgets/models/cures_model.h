// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/analysis/cures.h"

#include <QAbstractTableModel>

#include <vector>

/// What was tried on a tensor in the place of its scheme, best first: what it gains and what it costs.
class CuresModel final : public QAbstractTableModel
{
    Q_OBJECT
public:
    enum Column { What, Gain, Size, GainPerBit, ColumnCount };
    static constexpr int ValueRole = Qt::UserRole;       ///< the unformatted value, for sorting
    static constexpr int SchemeRole = Qt::UserRole + 1;  ///< scheme text; empty for a mixture, which no scheme says

    using QAbstractTableModel::QAbstractTableModel;

    void setCures(std::vector<quantloupe::Cure> cures);

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role = Qt::DisplayRole) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role = Qt::DisplayRole) const override;

private:
    std::vector<quantloupe::Cure> m_cures;
};
