// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "widgets/theme/plot_theme.h"

#include <QFont>
#include <QPointF>

#include <cstddef>

class QCPAxis;
class QCPAxisRect;
class QCPLayoutElement;
class QCPLegend;
class QCustomPlot;

/// With more points than that the dots of a line would hide it.
constexpr std::size_t mostDots = 60;

/// Colours and fonts of an axis and its grid.
void styleAxis(QCPAxis* axis, const PlotTheme& theme, const QFont& font);
/// The same for everything in a layout: axis rectangles, legends, texts, colour scales.
void styleElements(QCPLayoutElement* element, const PlotTheme& theme, const QFont& font);
/// Hides or shows an element with all it holds.
void setShown(QCPLayoutElement* element, bool shown);
/// For plots of one row per item, the first on top: rows instead of a scale at the left, drag and wheel along them.
void listDownward(QCustomPlot* canvas);
/// The row of such a plot at a position in pixels, labels at the left included; −1 where none of `count` is.
int listedRowAt(const QCustomPlot* canvas, QPointF position, std::size_t count);
/// Moves the legend above the first axis rectangle, so that it never covers data; `wrap` entries per line.
void placeLegendAbove(QCustomPlot* canvas, int wrap = 5);
/// A legend set up like the others, for plots with several.
void setUpLegend(QCPLegend* legend, int wrap);
