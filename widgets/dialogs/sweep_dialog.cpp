// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/dialogs/sweep_dialog.h"

#include "widgets/docks/scheme_choices.h"
#include "widgets/docks/scheme_editor.h"
#include "widgets/support/format_text.h"
#include "widgets/theme/icons.h"
#include "widgets/workbench/work_list.h"

#include <QDialogButtonBox>
#include <QHBoxLayout>
#include <QLabel>
#include <QListWidget>
#include <QMenu>
#include <QPushButton>
#include <QVBoxLayout>

SweepDialog::SweepDialog(const std::vector<quantloupe::Scheme>& schemes, QWidget* parent)
    : QDialog(parent)
    , m_list(new QListWidget)
    , m_editor(new SchemeEditor)
    , m_remove(new QPushButton(themeIcon(QStringLiteral("remove")), tr("&Remove")))
    , m_accept(nullptr)
{
    setWindowTitle(tr("Schemes of the sweep"));
    m_list->setSelectionMode(QAbstractItemView::ExtendedSelection);
    m_list->setAccessibleName(tr("Schemes of the sweep"));
    for (const auto& scheme : schemes)
        add(scheme);
    auto* explanation =
        new QLabel(tr("Every tensor is measured under each of these. More schemes give the budget more to choose "
                      "from and take longer; what is measured already is not measured again."));
    explanation->setWordWrap(true);
    auto* addButton = new QPushButton(themeIcon(QStringLiteral("add")), tr("&Add"));
    auto* reset = new QPushButton(tr("&Defaults"));
    auto* addKind = new QPushButton(tr("Add a &kind"));
    addKind->setToolTip(tr("Adds every format of one kind as it is picked there."));
    auto* kinds = new QMenu(addKind);
    kinds->setToolTipsVisible(true);
    for (const auto& group : formatGroups()) {
        auto* kind = kinds->addAction(group.title);
        kind->setToolTip(group.explanation);
        connect(kind, &QAction::triggered, this, [this, formats = group.formats] {
            for (const auto format : formats)
                add(quantloupe::Scheme::of(format));
        });
    }
    addKind->setMenu(kinds);
    auto* editing = new QHBoxLayout;
    editing->addWidget(m_editor);
    editing->addWidget(addButton);
    editing->addStretch();
    auto* listing = new QHBoxLayout;
    listing->addWidget(m_list, 1);
    auto* side = new QVBoxLayout;
    side->addWidget(m_remove);
    side->addWidget(reset);
    side->addWidget(addKind);
    side->addStretch();
    listing->addLayout(side);
    auto* buttons = new QDialogButtonBox(QDialogButtonBox::Ok | QDialogButtonBox::Cancel);
    m_accept = buttons->button(QDialogButtonBox::Ok);
    auto* layout = new QVBoxLayout(this);
    layout->addWidget(explanation);
    layout->addLayout(listing);
    layout->addLayout(editing);
    layout->addWidget(buttons);
    connect(addButton, &QPushButton::clicked, this, [this] { add(m_editor->scheme()); });
    connect(m_remove, &QPushButton::clicked, this, [this] {
        qDeleteAll(m_list->selectedItems());
        updateButtons();
    });
    connect(reset, &QPushButton::clicked, this, [this] {
        m_list->clear();
        for (const auto& scheme : defaultSweep())
            add(scheme);
    });
    connect(m_list, &QListWidget::itemSelectionChanged, this, &SweepDialog::updateButtons);
    connect(buttons, &QDialogButtonBox::accepted, this, &QDialog::accept);
    connect(buttons, &QDialogButtonBox::rejected, this, &QDialog::reject);
    updateButtons();
}

void SweepDialog::add(const quantloupe::Scheme& scheme)
{
    constexpr quantloupe::MatrixShape large {4096, 4096};
    const auto text = QString::fromStdString(scheme.toString());
    if (m_list->findItems(text, Qt::MatchExactly).isEmpty()) {
        auto* item = new QListWidgetItem(text, m_list);
        item->setToolTip(tr("%1 in a large matrix").arg(format::bitsPerWeight(scheme.bitsPerWeight(large))));
    }
    if (m_accept)
        updateButtons();
}

void SweepDialog::updateButtons()
{
    m_remove->setEnabled(!m_list->selectedItems().isEmpty());
    m_accept->setEnabled(m_list->count() > 0);
}

std::vector<quantloupe::Scheme> SweepDialog::schemes() const
{
    std::vector<quantloupe::Scheme> schemes;
    for (int i = 0; i < m_list->count(); ++i)
        if (const auto scheme = quantloupe::Scheme::parse(m_list->item(i)->text().toStdString()))
            schemes.push_back(*scheme);
    return schemes;
}
