// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/report/document.h"

#include <QByteArray>
#include <QString>

/// A figure as an SVG element for an HTML page: no declarations, as wide as its place, every id prefixed by the
/// figure's own, so that several figures of a page do not mix up theirs. Empty when there is nothing to draw.
QByteArray drawFigure(const quantloupe::ReportFigure& figure, const quantloupe::ReportDocument& document,
    const quantloupe::StudySnapshot& study);

/// The rewriting alone. Empty for text that is not well-formed XML.
QByteArray inlineSvg(const QByteArray& svg, const QString& idPrefix, const QString& label);
