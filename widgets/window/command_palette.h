// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QDialog>
#include <QList>

#include <functional>

class QLineEdit;
class QListWidget;

/// Finds every action and every layer by typing. Words may come in any order; names that begin with what was typed come
/// first.
class CommandPalette final : public QDialog
{
    Q_OBJECT
public:
    struct Entry {
        QString text;    ///< "Analyze › Stop", "layers.3.mlp.down_proj"
        QString detail;  ///< shortcut, or what kind of thing it is
        bool enabled = true;
        std::function<void()> run;
    };
    explicit CommandPalette(QList<Entry> entries, QWidget* parent = nullptr);

    /// Entries that fit, best first; what the list shows.
    static QList<int> matches(const QList<Entry>& entries, const QString& text, int limit);

protected:
    bool eventFilter(QObject* watched, QEvent* event) override;

private:
    void refresh();
    void runCurrent();

    QList<Entry> m_entries;
    QLineEdit* m_input;
    QListWidget* m_list;
};
