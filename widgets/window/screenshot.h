// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QObject>
#include <QString>

class MainWindow;
class QTimer;

/// Waits until the window has come to rest (opened, measured, drawn) and writes a picture of it.
class Screenshot final : public QObject
{
    Q_OBJECT
public:
    /// Belongs to the window.
    Screenshot(MainWindow* window, const QString& path);
    void start();

Q_SIGNALS:
    /// Empty text on success. Once.
    void done(const QString& error);

private:
    void look();
    void finish(const QString& error);

    MainWindow* m_window;
    QString m_path;
    QTimer* m_timer;
    QString m_failure;
    int m_restedFor = 0;  // looks in a row that found nothing under way
};
