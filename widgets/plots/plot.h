// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QByteArray>
#include <QSize>
#include <QString>
#include <QStringList>
#include <QVariantList>
#include <QWidget>

class QCustomPlot;

/// The data behind a plot, for "Show as table", "Copy data" and CSV.
struct PlotTable {
    QStringList header;          ///< with units
    QList<QVariantList> rows;    ///< numbers unformatted
};

/// Base of every plot: one QCustomPlot in the theme's colours, drawing from plain data that a subclass is given.
/// Used in the window and, off screen, in reports. Never computes; selection leaves as a signal.
///
/// It has the context menu (Show as table, Copy data, Save as SVG/PDF/PNG/CSV), hover text, wheel zoom, drag to pan,
/// double click on an axis to reset, and an empty state text. Colours follow the palette.
class Plot : public QWidget
{
    Q_OBJECT
public:
    explicit Plot(QWidget* parent = nullptr);
    ~Plot() override;

    /// What is drawn, as rows. Empty when there is nothing.
    virtual PlotTable table() const = 0;

    /// Shown in the middle instead of axes while there is no data, e.g. tr("Select a layer").
    void setEmptyText(const QString& text);

    /// Self-contained SVG in the current theme (light for reports: see theme/).
    QByteArray toSvg(QSize size);
    bool savePdf(const QString& path, QSize size);
    QPixmap toPixmap(QSize size, double scale);
    QString toCsv() const;

Q_SIGNALS:
    void tensorClicked(const QString& tensor);         ///< select it everywhere
    void tensorDoubleClicked(const QString& tensor);   ///< open it in the Layer page

protected:
    QCustomPlot* canvas() const { return m_canvas; }
    /// Hover text for a position in pixels; empty for none.
    virtual QString hoverText(QPointF position) const;
    /// Called at start and whenever the palette changes; the base styles axes, grid and background.
    virtual void applyTheme();
    /// Axes back to the full data.
    virtual void resetView();
    void setHasData(bool hasData);
    void changeEvent(QEvent* event) override;

private:
    QCustomPlot* m_canvas;
    class Extras;
    Extras* m_extras;
};
