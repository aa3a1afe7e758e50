// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QStyledItemDelegate>
#include <QStringList>

#include <functional>

/// Edits a scheme in place: a combo with the common schemes and every format that also takes any notation. What cannot
/// be read, or makes no sense, is not committed; a tool tip at the cell says why.
class SchemeDelegate final : public QStyledItemDelegate
{
    Q_OBJECT
public:
    /// @param offered asked anew for each editor
    /// @param mayKeep whether "keep" (empty text) is among the choices
    SchemeDelegate(std::function<QStringList()> offered, bool mayKeep, QObject* parent = nullptr);

    QWidget* createEditor(QWidget* parent, const QStyleOptionViewItem& option, const QModelIndex& index) const override;
    void setEditorData(QWidget* editor, const QModelIndex& index) const override;
    void setModelData(QWidget* editor, QAbstractItemModel* model, const QModelIndex& index) const override;

private:
    QString keepText() const;

    std::function<QStringList()> m_offered;
    bool m_mayKeep;
};
