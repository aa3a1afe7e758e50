// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QStringList>

#include <functional>

class QMenu;
class Workbench;

/// Schemes worth offering first: the default of the recipe, those it uses elsewhere, those of the sweep; canonical
/// text, each once.
QStringList commonSchemes(const Workbench& workbench);

/// Fills a menu with commonSchemes() and, in a submenu per kind, every format; `choose` gets the text.
void fillSchemeMenu(QMenu* menu, const Workbench& workbench, const std::function<void(const QString&)>& choose);
