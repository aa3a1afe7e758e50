// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/window/screenshot.h"

#include "widgets/window/main_window.h"
#include "widgets/workbench/workbench.h"

#include <QPixmap>
#include <QTimer>

#include <algorithm>
#include <chrono>

namespace {
// Live work starts a moment after what caused it: one quiet look proves nothing.
constexpr int looksAtRest = 8;
}  // namespace

Screenshot::Screenshot(MainWindow* window, const QString& path)
    : QObject(window)
    , m_window(window)
    , m_path(path)
    , m_timer(new QTimer(this))
{
    m_timer->setInterval(std::chrono::milliseconds(100));
    connect(m_timer, &QTimer::timeout, this, &Screenshot::look);
    connect(m_window->workbench(), &Workbench::failed, this,
        [this](const QString& title, const QString& details) { m_failure = title + QStringLiteral(": ") + details; });
}

void Screenshot::start()
{
    m_timer->start();
}

void Screenshot::look()
{
    const auto* workbench = m_window->workbench();
    if (!m_failure.isEmpty() && !workbench->hasModel()) {
        finish(m_failure);
        return;
    }
    const auto busy = workbench->isOpening() || workbench->isAnalyzing() || workbench->jobs()->isBusy();
    m_restedFor = busy ? 0 : m_restedFor + 1;
    if (m_restedFor < looksAtRest)
        return;
    finish(m_window->grab().save(m_path, "PNG") ? QString() : tr("Cannot write %1").arg(m_path));
}

void Screenshot::finish(const QString& error)
{
    m_timer->stop();
    Q_EMIT done(error);
}
