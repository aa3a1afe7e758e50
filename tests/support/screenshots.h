// SPDX-License-Identifier: GPL-3.0-or-later
// Pictures for human eyes: written where $QUANTLOUPE_SCREENSHOTS points, and nowhere when it is not set.
#pragma once

#include <QApplication>
#include <QDir>
#include <QPixmap>
#include <QString>
#include <QWidget>

namespace quantloupe::tests {

inline void saveScreenshot(const QPixmap& picture, const QString& name)
{
    const QString folder = qEnvironmentVariable("QUANTLOUPE_SCREENSHOTS");
    if (!folder.isEmpty() && QDir().mkpath(folder))
        picture.save(QDir(folder).filePath(name + QStringLiteral(".png")));
}

}  // namespace quantloupe::tests
