// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/report/document.h"

#include <QDialog>

class QLabel;
class QLineEdit;
class QListWidget;
class QPlainTextEdit;
class QTimer;
class Workbench;

/// Makes a report from the study: which sections, by whom, with which notes; a preview follows. Saved as HTML with its
/// figures, Markdown or CSV.
class ReportDialog final : public QDialog
{
    Q_OBJECT
public:
    /// @param path suggested for the file, without suffix
    ReportDialog(Workbench* workbench, const QString& author, const QString& path, QWidget* parent = nullptr);

    quantloupe::ReportOptions options() const;
    /// By the suffix: .html, .md or .csv. Empty error text on success.
    QString saveTo(const QString& path);
    QString preview() const;

Q_SIGNALS:
    void authorChanged(const QString& author);

private:
    void refresh();
    void save();

    Workbench* m_workbench;
    QString m_path;
    QListWidget* m_sections;
    QLineEdit* m_title;
    QLineEdit* m_author;
    QPlainTextEdit* m_notes;
    QPlainTextEdit* m_preview;
    QLabel* m_saved;
    QTimer* m_pause;
};
