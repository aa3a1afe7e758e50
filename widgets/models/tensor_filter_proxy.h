// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QSortFilterProxyModel>
#include <QStringList>

/// Shows the tensors that every word of a text fits: words are looked for in name, role and scheme, whatever their
/// case. A word of one or two letters must begin a part of the name, so that "q" finds q_proj and not every sequence.
/// Sorting is by the unformatted value; unmeasured tensors stay last in either order.
class TensorFilterProxy final : public QSortFilterProxyModel
{
    Q_OBJECT
public:
    explicit TensorFilterProxy(QObject* parent = nullptr);
    void setFilterText(const QString& text);
    QString filterText() const { return m_words.join(u' '); }

protected:
    bool filterAcceptsRow(int row, const QModelIndex& parent) const override;
    bool lessThan(const QModelIndex& left, const QModelIndex& right) const override;

private:
    QStringList m_words;
};
