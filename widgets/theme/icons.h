// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QIcon>
#include <QStringList>

/// The icon `resources/icons/<name>.svg`, tinted with the palette at the moment it is painted: it follows a change of
/// theme by itself. An unknown name gives a null icon.
QIcon themeIcon(const QString& name);
/// Every name there is.
QStringList themeIconNames();
