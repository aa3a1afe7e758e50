// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QFont>

/// The given font, or one near to it whose digits are all equally wide, so that columns of numbers line up.
QFont tabularFont(const QFont& base);
/// The interface font scaled, e.g. 1.4 for a heading; keeps points and pixels apart.
QFont scaledFont(const QFont& base, double factor, bool bold = false);
