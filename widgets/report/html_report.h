// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/report/document.h"

#include <QByteArray>

/// The report as one HTML file that needs nothing else: inline style, figures as inline SVG drawn by the plots of the
/// window, no scripts, no links to load. Light and dark by the reader's preference; prints well. All text is escaped.
///
/// `study` is the one the document was built from. Needs a QApplication (offscreen will do) and its thread.
QByteArray renderHtml(const quantloupe::ReportDocument& document, const quantloupe::StudySnapshot& study);
