// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/export_targets/export_target.h"

#include <QDialog>

#include <optional>

class QLabel;
class QLineEdit;
class QListWidget;
class QPlainTextEdit;
class QPushButton;
class QTabWidget;
class Workbench;

/// Writes the recipe for another tool: which tool, what it can and cannot express, what the file will hold, what would
/// be lost, and the command that consumes it. Follows the recipe while it is open.
class ExportDialog final : public QDialog
{
    Q_OBJECT
public:
    /// @param target name of the one chosen at first; empty: the first
    /// @param path suggested for the main file, without suffix
    ExportDialog(Workbench* workbench, const QString& target, const QString& path, QWidget* parent = nullptr);

    QString target() const;
    void setTarget(const QString& name);
    QString preview() const;  ///< of the main file
    /// Writes all files. Empty error text on success.
    QString saveTo(const QString& path, bool overwrite);

private:
    void refresh();
    void show(const quantloupe::Result<quantloupe::ExportResult>& result);
    void save();

    Workbench* m_workbench;
    QString m_path;
    std::optional<quantloupe::ExportResult> m_result;
    QListWidget* m_targets;
    QLabel* m_description;
    QTabWidget* m_files;
    QLabel* m_warnings;
    QLabel* m_commandTitle;
    QLineEdit* m_command;
    QPushButton* m_copyCommand;
    QPushButton* m_copy;
    QPushButton* m_save;
    QLabel* m_saved;
};
