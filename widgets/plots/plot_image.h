// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QByteArray>
#include <QSize>
#include <QString>

#include <functional>

class QCustomPlot;
class QIODevice;

/// Vector images of a canvas, one unit per pixel of `size`.
QByteArray drawSvg(QCustomPlot& canvas, QSize size, const QString& title);
void drawPdf(QCustomPlot& canvas, QIODevice* device, QSize size, const QString& title);

/// Writes through a temporary file; empty on success, else the operating system's reason.
QString writeAtomically(const QString& path, const std::function<void(QIODevice*)>& write);
/// "Weight ranges by depth" → "weight-ranges-by-depth.svg".
QString suggestedFileName(const QString& title);
