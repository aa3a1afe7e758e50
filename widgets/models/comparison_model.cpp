// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/models/comparison_model.h"

#include "widgets/support/format_text.h"

#include <utility>

namespace {

bool isSecond(int column)
{
    return column == ComparisonModel::SecondScheme || column == ComparisonModel::SecondBytes
        || column == ComparisonModel::SecondSqnr || column == ComparisonModel::SecondValue;
}

}  // namespace

void ComparisonModel::setComparison(std::shared_ptr<const quantloupe::Comparison> comparison,
    const quantloupe::ModelCatalog& model, const QString& metricTitle, bool all)
{
    beginResetModel();
    m_comparison = std::move(comparison);
    m_metric = metricTitle;
    m_rows.clear();
    m_names.clear();
    if (m_comparison) {
        for (std::size_t i = 0; i < model.tensors.size(); ++i) {
            m_names.push_back(QString::fromStdString(model.tensors[i].name));
            if (all)
                m_rows.push_back(i);
        }
        if (!all)
            m_rows = m_comparison->different;
    }
    endResetModel();
}

int ComparisonModel::rowCount(const QModelIndex& parent) const
{
    return parent.isValid() ? 0 : static_cast<int>(m_rows.size());
}

int ComparisonModel::columnCount(const QModelIndex& parent) const
{
    return parent.isValid() ? 0 : ColumnCount;
}

QVariant ComparisonModel::valueOf(std::size_t tensor, int column) const
{
    const std::size_t side = isSecond(column) ? 1 : 0;
    const auto& compared = m_comparison->sides[side].tensors[tensor];
    switch (column) {
    case Tensor: return m_names[tensor];
    case FirstScheme:
    case SecondScheme:
        return !compared.present      ? tr("not there")
            : compared.scheme.empty() ? tr("kept")
                                      : QString::fromStdString(compared.scheme);
    case FirstBytes:
    case SecondBytes: return static_cast<qulonglong>(compared.bytes);
    case FirstSqnr:
    case SecondSqnr: return m_comparison->sqnrDb(side, tensor);
    case FirstValue:
    case SecondValue: return compared.value;
    default: return {};
    }
}

QVariant ComparisonModel::data(const QModelIndex& index, int role) const
{
    if (!checkIndex(index, CheckIndexOption::IndexIsValid))
        return {};
    const auto tensor = m_rows[static_cast<std::size_t>(index.row())];
    const int column = index.column();
    const bool isText = column == Tensor || column == FirstScheme || column == SecondScheme;
    switch (role) {
    case ValueRole: return valueOf(tensor, column);
    case TensorRole:
    case Qt::ToolTipRole: return m_names[tensor];
    case Qt::TextAlignmentRole:
        return QVariant::fromValue(isText ? Qt::AlignLeft | Qt::AlignVCenter : Qt::AlignRight | Qt::AlignVCenter);
    case Qt::DisplayRole: break;
    default: return {};
    }
    auto value = valueOf(tensor, column);
    switch (column) {
    case FirstBytes:
    case SecondBytes: return format::bytes(value.toULongLong());
    case FirstSqnr:
    case SecondSqnr: return format::decibels(value.toDouble());
    case FirstValue:
    case SecondValue: return format::number(value.toDouble(), 3);
    default: return value;
    }
}

QVariant ComparisonModel::headerData(int section, Qt::Orientation orientation, int role) const
{
    if (orientation != Qt::Horizontal)
        return {};
    if (role == Qt::TextAlignmentRole)
        return QVariant::fromValue(
            section <= SecondScheme ? Qt::AlignLeft | Qt::AlignVCenter : Qt::AlignRight | Qt::AlignVCenter);
    if (role != Qt::DisplayRole)
        return {};
    switch (section) {
    case Tensor: return tr("Tensor");
    case FirstScheme: return tr("A");
    case SecondScheme: return tr("B");
    case FirstBytes: return tr("Size A");
    case SecondBytes: return tr("Size B");
    case FirstSqnr: return tr("SQNR A");
    case SecondSqnr: return tr("SQNR B");
    case FirstValue: return tr("%1 A").arg(m_metric);
    case SecondValue: return tr("%1 B").arg(m_metric);
    default: return {};
    }
}
