// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/models/plan_changes_model.h"

#include "widgets/support/format_text.h"

#include <algorithm>
#include <cstdlib>
#include <initializer_list>

using quantloupe::ModelCatalog;
using quantloupe::Plan;

namespace {

/// Without what all tensors of a model share: the column is narrow.
QString shortName(QString name)
{
    for (const QLatin1String prefix :
        {QLatin1String("model.layers."), QLatin1String("model."), QLatin1String("blk.")}) {
        if (name.startsWith(prefix)) {
            name.remove(0, prefix.size());
            break;
        }
    }
    if (name.endsWith(QLatin1String(".weight")))
        name.chop(7);
    return name;
}

}  // namespace

PlanChangesModel::PlanChangesModel(QObject* parent)
    : QAbstractTableModel(parent)
{
}

void PlanChangesModel::setPlans(const ModelCatalog& model, const Plan& before, const Plan& after)
{
    beginResetModel();
    m_rows.clear();
    m_grown = m_shrunk = 0;
    m_total = 0;
    const auto scheme = [](const std::optional<quantloupe::Scheme>& value) {
        return value ? QString::fromStdString(value->toString()) : tr("kept");
    };
    if (before.tensors.size() == after.tensors.size() && after.tensors.size() == model.tensors.size()) {
        for (std::size_t i = 0; i < after.tensors.size(); ++i) {
            if (before.tensors[i].scheme == after.tensors[i].scheme)
                continue;
            const qint64 change =
                static_cast<qint64>(after.tensors[i].bytes) - static_cast<qint64>(before.tensors[i].bytes);
            m_rows.push_back({QString::fromStdString(model.tensors[i].name), scheme(before.tensors[i].scheme),
                scheme(after.tensors[i].scheme), change});
            m_total += change;
            m_grown += change > 0 ? 1 : 0;
            m_shrunk += change < 0 ? 1 : 0;
        }
        std::stable_sort(m_rows.begin(), m_rows.end(),
            [](const Row& left, const Row& right) { return std::abs(left.change) > std::abs(right.change); });
    }
    endResetModel();
}

void PlanChangesModel::clear()
{
    setPlans({}, {}, {});
}

int PlanChangesModel::rowCount(const QModelIndex& parent) const
{
    return parent.isValid() ? 0 : static_cast<int>(m_rows.size());
}

int PlanChangesModel::columnCount(const QModelIndex& parent) const
{
    return parent.isValid() ? 0 : ColumnCount;
}

QVariant PlanChangesModel::data(const QModelIndex& index, int role) const
{
    if (!checkIndex(index, CheckIndexOption::IndexIsValid))
        return {};
    const Row& row = m_rows[static_cast<std::size_t>(index.row())];
    switch (role) {
    case NameRole: return row.tensor;
    case ChangeRole: return row.change;
    case Qt::ToolTipRole: return row.tensor;
    case Qt::TextAlignmentRole:
        return QVariant::fromValue(
            index.column() == Change ? Qt::AlignRight | Qt::AlignVCenter : Qt::AlignLeft | Qt::AlignVCenter);
    case Qt::DisplayRole: break;
    default: return {};
    }
    switch (index.column()) {
    case Tensor: return shortName(row.tensor);
    case Before: return row.before;
    case After: return row.after;
    case Change: {
        // An arrow besides the sign: the direction is what one looks for.
        const QChar arrow = row.change > 0 ? QChar(0x2191) : row.change < 0 ? QChar(0x2193) : QChar(0x2192);
        return QString(arrow) + QChar(0x00a0) + format::signedBytes(row.change);
    }
    default: return {};
    }
}

QVariant PlanChangesModel::headerData(int section, Qt::Orientation orientation, int role) const
{
    if (orientation != Qt::Horizontal)
        return {};
    if (role == Qt::TextAlignmentRole)
        return QVariant::fromValue(
            section == Change ? Qt::AlignRight | Qt::AlignVCenter : Qt::AlignLeft | Qt::AlignVCenter);
    if (role != Qt::DisplayRole)
        return {};
    switch (section) {
    case Tensor: return tr("Tensor");
    case Before: return tr("Before");
    case After: return tr("After");
    case Change: return tr("Size");
    default: return {};
    }
}
