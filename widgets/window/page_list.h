// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QString>
#include <QWidget>

#include <span>

class Workbench;

/// One page of the window.
struct PageEntry {
    QString name;  ///< for --page and tests
    QString icon;
    QString (*title)();  ///< translated
    QWidget* (*create)(Workbench* workbench);
};

/// Every page, in the order of the tabs.
std::span<const PageEntry> pageList();
