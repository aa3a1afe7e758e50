// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "widgets/theme/plot_theme.h"

#include <QByteArray>
#include <QSize>
#include <QString>
#include <QStringList>
#include <QVariantList>
#include <QWidget>

#include <functional>
#include <memory>

class QCustomPlot;
class QIODevice;
class QMenu;

/// The data behind a plot, for "Show as table", "Copy data" and CSV.
struct PlotTable {
    QStringList header;        ///< with units
    QList<QVariantList> rows;  ///< numbers unformatted
};

/// Which colours an image of a plot is drawn in.
enum class PlotColors { Current, Light };

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
    bool hasData() const;

    /// Title for file names, the table's window and screen readers, and one sentence on what is drawn.
    void setDescription(const QString& title, const QString& sentence);
    QString title() const;

    /// Self-contained SVG with a fixed view box, one unit per pixel.
    QByteArray toSvg(QSize size, PlotColors colors = PlotColors::Current);
    bool savePdf(const QString& path, QSize size, PlotColors colors = PlotColors::Light);
    QPixmap toPixmap(QSize size, double scale, PlotColors colors = PlotColors::Current);
    /// By the suffix of the path: svg (any other), pdf, png or csv. Atomic; the reason where it failed, else empty.
    QString saveTo(const QString& path);
    /// RFC 4180, numbers in full in the C locale.
    QString toCsv() const;

    QSize sizeHint() const override;
    QSize minimumSizeHint() const override;

Q_SIGNALS:
    void tensorClicked(const QString& tensor);        ///< select it everywhere
    void tensorDoubleClicked(const QString& tensor);  ///< open it in the Layer page

public Q_SLOTS:
    void showTable();
    void copyData() const;
    void saveAs();

protected:
    QCustomPlot* canvas() const { return m_canvas; }
    PlotTheme theme() const { return PlotTheme::of(palette()); }
    /// Draws again soon; any number of calls melt into one.
    void replot();

    /// Hover text for a position in pixels; empty for none.
    virtual QString hoverText(QPointF position) const;
    /// The tensor drawn at a position in pixels; empty for none. A click there emits tensorClicked().
    virtual QString tensorAt(QPointF position) const;
    /// A click that is not a drag, after tensorClicked() was emitted.
    virtual void clicked(QPointF position);
    /// Entries of its own at the top of the context menu.
    virtual void extendMenu(QMenu* menu);
    /// Called at start and whenever palette or font change; the base styles axes, grids, legends and background.
    /// A subclass calls the base, then colours its own plottables.
    virtual void applyTheme();
    /// Axes back to the full data.
    virtual void resetView();
    /// Called before drawing a picture of this size off screen, for what depends on the room there is.
    virtual void layOut(QSize size);
    void setHasData(bool hasData);
    void changeEvent(QEvent* event) override;
    void showEvent(QShowEvent* event) override;
    bool eventFilter(QObject* watched, QEvent* event) override;

private:
    class Extras;
    void renderInColors(PlotColors colors, const std::function<void()>& render);
    void ensureThemed();
    void showMenu(QPoint position);
    void writePdf(QIODevice* device, QSize size, PlotColors colors);

    QCustomPlot* m_canvas;
    std::unique_ptr<Extras> m_extras;
};
