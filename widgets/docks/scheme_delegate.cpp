// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/docks/scheme_delegate.h"

#include "core/schemes/scheme.h"

#include <QComboBox>
#include <QToolTip>

#include <utility>

SchemeDelegate::SchemeDelegate(std::function<QStringList()> offered, bool mayKeep, QObject* parent)
    : QStyledItemDelegate(parent)
    , m_offered(std::move(offered))
    , m_mayKeep(mayKeep)
{
}

QString SchemeDelegate::keepText() const
{
    return tr("keep");
}

QWidget* SchemeDelegate::createEditor(QWidget* parent, const QStyleOptionViewItem&, const QModelIndex&) const
{
    auto* combo = new QComboBox(parent);
    combo->setEditable(true);
    combo->setInsertPolicy(QComboBox::NoInsert);
    combo->setAccessibleName(tr("Scheme"));
    combo->addItems(m_offered());
    if (m_mayKeep)
        combo->addItem(keepText());
    // Wide enough for its entries, whatever the column is.
    combo->setMinimumWidth(combo->sizeHint().width());
    auto* delegate = const_cast<SchemeDelegate*>(this);
    connect(combo, &QComboBox::activated, delegate, [delegate, combo] {
        Q_EMIT delegate->commitData(combo);
        Q_EMIT delegate->closeEditor(combo);
    });
    return combo;
}

void SchemeDelegate::setEditorData(QWidget* editor, const QModelIndex& index) const
{
    auto* combo = static_cast<QComboBox*>(editor);
    const auto text = index.data(Qt::EditRole).toString();
    combo->setEditText(text.isEmpty() && m_mayKeep ? keepText() : text);
}

void SchemeDelegate::setModelData(QWidget* editor, QAbstractItemModel* model, const QModelIndex& index) const
{
    const auto text = static_cast<QComboBox*>(editor)->currentText().trimmed();
    if (m_mayKeep && (text == keepText() || text.isEmpty())) {
        model->setData(index, QString());
        return;
    }
    const auto plan = quantloupe::LayerPlan::parse(text.toStdString());
    if (!plan) {
        QToolTip::showText(editor->mapToGlobal(QPoint(0, editor->height())),
            QString::fromStdString(describe(plan.error())).toHtmlEscaped(), editor->parentWidget(), {}, 10000);
        return;
    }
    model->setData(index, QString::fromStdString(plan->toString()));
}
