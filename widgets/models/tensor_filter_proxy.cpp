// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/models/tensor_filter_proxy.h"

#include "widgets/models/tensor_tree_model.h"

#include <algorithm>
#include <cmath>

namespace {

bool fits(const QString& word, const QString& text)
{
    if (word.size() > 2)
        return text.contains(word, Qt::CaseInsensitive);
    for (qsizetype at = text.indexOf(word, 0, Qt::CaseInsensitive); at >= 0;
         at = text.indexOf(word, at + 1, Qt::CaseInsensitive))
        if (at == 0 || !text[at - 1].isLetterOrNumber())
            return true;
    return false;
}

}  // namespace

TensorFilterProxy::TensorFilterProxy(QObject* parent)
    : QSortFilterProxyModel(parent)
{
    setRecursiveFilteringEnabled(true);
    setAutoAcceptChildRows(true);
    setSortRole(TensorTreeModel::ValueRole);
    setDynamicSortFilter(true);
}

void TensorFilterProxy::setFilterText(const QString& text)
{
    static const QRegularExpression spaces(QStringLiteral("\\s+"));
    const auto words = text.split(spaces, Qt::SkipEmptyParts);
    if (words == m_words)
        return;
    m_words = words;
    invalidateFilter();
}

bool TensorFilterProxy::filterAcceptsRow(int row, const QModelIndex& parent) const
{
    if (m_words.isEmpty())
        return true;
    const auto texts = sourceModel()->index(row, 0, parent).data(TensorTreeModel::SearchRole).toStringList();
    return !texts.isEmpty() && std::all_of(m_words.cbegin(), m_words.cend(), [&](const QString& word) {
        return std::any_of(texts.cbegin(), texts.cend(), [&](const QString& text) { return fits(word, text); });
    });
}

bool TensorFilterProxy::lessThan(const QModelIndex& left, const QModelIndex& right) const
{
    const auto a = left.data(TensorTreeModel::ValueRole);
    const auto b = right.data(TensorTreeModel::ValueRole);
    if (a.typeId() == QMetaType::Double && b.typeId() == QMetaType::Double) {
        // NaN is neither less nor greater, which would break the order of all others.
        const auto bottom = sortOrder() == Qt::AscendingOrder ? INFINITY : -INFINITY;
        const auto x = std::isnan(a.toDouble()) ? bottom : a.toDouble();
        const auto y = std::isnan(b.toDouble()) ? bottom : b.toDouble();
        return x < y;
    }
    // A block (number) against a tensor outside the blocks (text): the model's own order.
    if (a.typeId() != b.typeId())
        return left.row() < right.row();
    return QSortFilterProxyModel::lessThan(left, right);
}
