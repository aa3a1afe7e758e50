// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "widgets/plots/plot.h"

#include <QDialog>

/// The rows behind a plot, sortable, to read or copy. Not modal: it stays open beside the plot.
class PlotTableDialog final : public QDialog
{
    Q_OBJECT
public:
    PlotTableDialog(const QString& title, const PlotTable& table, QWidget* parent = nullptr);
};

/// A cell as the interface shows it: numbers with six significant digits.
QString plotCellText(const QVariant& value);
/// Header and rows as tab-separated lines in the C locale, as spreadsheets paste them.
QString toTabSeparated(const PlotTable& table);
/// RFC 4180 with CRLF, numbers in full in the C locale.
QString toCommaSeparated(const PlotTable& table);
