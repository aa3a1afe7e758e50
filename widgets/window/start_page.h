// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "widgets/window/app_settings.h"

#include <QWidget>

class QLabel;
class QListWidget;

/// What the window shows before a model is open: open one, open the sample, or go on with a recent one.
class StartPage final : public QWidget
{
    Q_OBJECT
public:
    /// @param sample whether the bundled sample is there
    explicit StartPage(bool sample, QWidget* parent = nullptr);
    void setRecentFiles(const QList<RecentFile>& files);

Q_SIGNALS:
    void openRequested();
    void openFolderRequested();
    void sampleRequested();
    void fileRequested(const QString& path);
    void forgetRequested(const QString& path);

private:
    QLabel* m_recentTitle;
    QListWidget* m_recent;
};

/// "llama · 260 K parameters · F32 · 1 MiB · 23 Nov 2026".
QString describeRecentFile(const RecentFile& file);
