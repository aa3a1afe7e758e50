// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/window/session_mark.h"

#include <QCoreApplication>
#include <QDir>
#include <QFile>
#include <QLockFile>
#include <QSaveFile>
#include <QUuid>

SessionMark::SessionMark(const QString& folder)
{
    QDir().mkpath(folder);
    m_path = QStringLiteral("%1/session-%2").arg(folder, QUuid::createUuid().toString(QUuid::Id128));
    m_lock = std::make_unique<QLockFile>(m_path + QStringLiteral(".lock"));
    // 0: never stale by age, only when its process is gone.
    m_lock->setStaleLockTime(0);
    m_lock->tryLock();
}

SessionMark::~SessionMark()
{
    QFile::remove(m_path);
}

void SessionMark::setModel(const QString& path)
{
    if (path.isEmpty()) {
        QFile::remove(m_path);
        return;
    }
    QSaveFile file(m_path);
    if (file.open(QIODevice::WriteOnly)) {
        file.write(path.toUtf8());
        file.commit();
    }
}

QString SessionMark::takeCrashed(const QString& folder)
{
    constexpr qint64 longestPath = 1 << 16;
    QString newest;
    const auto marks = QDir(folder).entryInfoList({QStringLiteral("session-*")}, QDir::Files, QDir::Time);
    for (const auto& mark : marks) {
        if (mark.suffix() == QLatin1String("lock"))
            continue;
        QLockFile lock(mark.absoluteFilePath() + QStringLiteral(".lock"));
        lock.setStaleLockTime(0);
        if (!lock.tryLock(0))
            continue;
        QFile file(mark.absoluteFilePath());
        if (newest.isEmpty() && file.size() <= longestPath && file.open(QIODevice::ReadOnly))
            newest = QString::fromUtf8(file.readAll());
        file.close();
        file.remove();
    }
    return newest;
}
