// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/window/command_palette.h"

#include <QEvent>
#include <QKeyEvent>
#include <QLineEdit>
#include <QListWidget>
#include <QRegularExpression>
#include <QTimer>
#include <QVBoxLayout>

#include <algorithm>
#include <utility>

namespace {
constexpr int shownEntries = 60;
}

CommandPalette::CommandPalette(QList<Entry> entries, QWidget* parent)
    : QDialog(parent, Qt::Dialog)
    , m_entries(std::move(entries))
    , m_input(new QLineEdit)
    , m_list(new QListWidget)
{
    setWindowTitle(tr("Find an action or a layer"));
    m_input->setPlaceholderText(tr("Type an action or a layer"));
    m_input->setAccessibleName(tr("Action or layer"));
    m_list->setAccessibleName(tr("What was found"));
    m_list->setFocusPolicy(Qt::NoFocus);
    m_list->setUniformItemSizes(true);
    m_input->installEventFilter(this);
    connect(m_input, &QLineEdit::textChanged, this, &CommandPalette::refresh);
    connect(m_input, &QLineEdit::returnPressed, this, &CommandPalette::runCurrent);
    connect(m_list, &QListWidget::itemClicked, this, &CommandPalette::runCurrent);
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(8, 8, 8, 8);
    layout->addWidget(m_input);
    layout->addWidget(m_list);
    resize(560, 380);
    refresh();
}

QList<int> CommandPalette::matches(const QList<Entry>& entries, const QString& text, int limit)
{
    static const QRegularExpression spaces(QStringLiteral("\\s+"));
    const auto words = text.split(spaces, Qt::SkipEmptyParts);
    QList<std::pair<int, int>> ranked;  // rank, index
    for (int i = 0; i < entries.size(); ++i) {
        int rank = 0;
        const auto fits = std::all_of(words.cbegin(), words.cend(), [&](const QString& word) {
            const auto at = entries[i].text.indexOf(word, 0, Qt::CaseInsensitive);
            if (at < 0)
                return false;
            const bool begins = at == 0 || !entries[i].text[at - 1].isLetterOrNumber();
            rank += begins ? 0 : 1;
            return true;
        });
        if (fits)
            ranked << std::pair {rank, i};
    }
    std::stable_sort(ranked.begin(), ranked.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    QList<int> found;
    for (const auto& [rank, index] : std::as_const(ranked).mid(0, limit))
        found << index;
    return found;
}

void CommandPalette::refresh()
{
    m_list->clear();
    const auto found = matches(m_entries, m_input->text(), shownEntries);
    for (const int index : found) {
        const auto& entry = m_entries[index];
        auto* item = new QListWidgetItem(
            entry.detail.isEmpty() ? entry.text : QStringLiteral("%1    %2").arg(entry.text, entry.detail), m_list);
        item->setData(Qt::UserRole, index);
        if (!entry.enabled)
            item->setFlags(item->flags() & ~Qt::ItemIsEnabled);
    }
    m_list->setCurrentRow(0);
}

void CommandPalette::runCurrent()
{
    const auto* item = m_list->currentItem();
    if (!item || !(item->flags() & Qt::ItemIsEnabled))
        return;
    const auto run = m_entries[item->data(Qt::UserRole).toInt()].run;
    accept();
    // After the palette is gone: what runs may open a dialog of its own.
    QTimer::singleShot(0, parentWidget(), run);
}

bool CommandPalette::eventFilter(QObject* watched, QEvent* event)
{
    if (watched == m_input && event->type() == QEvent::KeyPress) {
        const auto key = static_cast<QKeyEvent*>(event)->key();
        if (key == Qt::Key_Down || key == Qt::Key_Up || key == Qt::Key_PageDown || key == Qt::Key_PageUp) {
            const int step = key == Qt::Key_Down ? 1 : key == Qt::Key_Up ? -1 : key == Qt::Key_PageDown ? 10 : -10;
            m_list->setCurrentRow(std::clamp(m_list->currentRow() + step, 0, std::max(0, m_list->count() - 1)));
            return true;
        }
    }
    return QDialog::eventFilter(watched, event);
}
