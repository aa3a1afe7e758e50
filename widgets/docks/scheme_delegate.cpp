// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/docks/scheme_delegate.h"

#include "core/schemes/scheme.h"
#include "widgets/docks/scheme_choices.h"

#include <QComboBox>
#include <QStandardItemModel>
#include <QToolTip>

#include <algorithm>
#include <utility>

namespace {

/// Every format by its bare name, under headings that cannot be chosen.
void addFormats(QComboBox* combo)
{
    auto* model = qobject_cast<QStandardItemModel*>(combo->model());
    for (const auto& group : formatGroups()) {
        auto* heading = new QStandardItem(group.title);
        heading->setFlags(Qt::NoItemFlags);
        heading->setToolTip(group.explanation);
        model->appendRow(heading);
        for (const auto format : group.formats) {
            auto* item = new QStandardItem(wordText(nameOf(format)));
            item->setToolTip(explanationOf(format));
            model->appendRow(item);
        }
    }
}

}  // namespace

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
    addFormats(combo);
    combo->setMaxVisibleItems(20);
    // Wide enough for its entries, whatever the column is.
    int widest = 0;
    for (int i = 0; i < combo->count(); ++i)
        widest = std::max(widest, combo->fontMetrics().horizontalAdvance(combo->itemText(i)));
    combo->setMinimumWidth(widest + 3 * combo->fontMetrics().height());
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
    const auto reason = plan ? refusalOf(plan->weights, quantloupe::Calibration::Given)
                             : QString::fromStdString(describe(plan.error()));
    if (!reason.isEmpty()) {
        QToolTip::showText(editor->mapToGlobal(QPoint(0, editor->height())), reason.toHtmlEscaped(),
            editor->parentWidget(), {}, 10000);
        return;
    }
    model->setData(index, QString::fromStdString(plan->toString()));
}
