// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/plot.h"

#include "widgets/plots/plot_image.h"
#include "widgets/plots/plot_style.h"
#include "widgets/plots/plot_table_dialog.h"
#include "widgets/support/qcustomplot.h"
#include "widgets/theme/icons.h"
#include "widgets/theme/theme.h"

#include <QAbstractScrollArea>
#include <QApplication>
#include <QClipboard>
#include <QContextMenuEvent>
#include <QFileDialog>
#include <QFontMetrics>
#include <QMenu>
#include <QMessageBox>
#include <QScrollBar>
#include <QToolTip>
#include <QVBoxLayout>

/// An item is a child of the axis rectangle that was there at its birth and would be hidden along with it.
class EmptyPlotText final : public QCPItemText
{
public:
    explicit EmptyPlotText(QCustomPlot* canvas)
        : QCPItemText(canvas)
    {
        setClipToAxisRect(false);
        setParentLayerable(nullptr);
    }

    void setSentence(const QString& sentence)
    {
        m_sentence = sentence;
        setText(sentence);
    }

protected:
    /// On as many lines as the canvas is narrow.
    void draw(QCPPainter* painter) override
    {
        const QFontMetrics metrics(font());
        const int width = parentPlot()->viewport().width() - 4 * metrics.averageCharWidth();
        QString lines, line;
        for (const auto& word : m_sentence.split(u' ')) {
            const auto longer = line.isEmpty() ? word : line + u' ' + word;
            const bool fits = line.isEmpty() || metrics.horizontalAdvance(longer) <= width;
            if (!fits)
                lines += line + u'\n';
            line = fits ? longer : word;
        }
        setText(lines + line);
        QCPItemText::draw(painter);
    }

private:
    QString m_sentence;
};

class Plot::Extras
{
public:
    EmptyPlotText* emptyText = nullptr;  // owned by the canvas
    QString title;
    QPointF pressed;
    bool hasData = false;
    bool themed = false;
};

namespace {

/// Whether a wheel turn over `widget` would scroll what it lies in.
bool liesInScrollingArea(const QWidget* widget)
{
    for (auto* parent = widget->parentWidget(); parent; parent = parent->parentWidget())
        if (const auto* area = qobject_cast<const QAbstractScrollArea*>(parent))
            return area->verticalScrollBar()->maximum() > area->verticalScrollBar()->minimum();
    return false;
}

}  // namespace

Plot::Plot(QWidget* parent)
    : QWidget(parent)
    , m_canvas(new QCustomPlot)
    , m_extras(std::make_unique<Extras>())
{
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins({});
    layout->addWidget(m_canvas);

    setFocusPolicy(Qt::StrongFocus);
    m_canvas->setFocusProxy(this);
    m_canvas->setInteractions(QCP::iRangeDrag | QCP::iRangeZoom);
    m_canvas->setSelectionTolerance(6);
    m_canvas->setNoAntialiasingOnDrag(false);
    m_canvas->installEventFilter(this);

    m_extras->emptyText = new EmptyPlotText(m_canvas);
    m_extras->emptyText->position->setType(QCPItemPosition::ptViewportRatio);
    m_extras->emptyText->position->setCoords(0.5, 0.5);
    m_extras->emptyText->setTextAlignment(Qt::AlignCenter);
    m_extras->emptyText->setPadding(QMargins(8, 8, 8, 8));
    m_extras->emptyText->setSentence(tr("Nothing to show"));

    connect(m_canvas, &QCustomPlot::mousePress, this, [this](QMouseEvent* event) {
        m_extras->pressed = event->position();
        QToolTip::hideText();
    });
    connect(m_canvas, &QCustomPlot::mouseRelease, this, [this](QMouseEvent* event) {
        const auto moved = (event->position() - m_extras->pressed).manhattanLength();
        if (event->button() != Qt::LeftButton || !m_extras->hasData || moved >= QApplication::startDragDistance())
            return;
        if (const auto tensor = tensorAt(event->position()); !tensor.isEmpty())
            Q_EMIT tensorClicked(tensor);
        clicked(event->position());
    });
    connect(m_canvas, &QCustomPlot::mouseDoubleClick, this, [this](QMouseEvent* event) {
        if (!m_extras->hasData)
            return;
        if (const auto tensor = tensorAt(event->position()); !tensor.isEmpty()) {
            Q_EMIT tensorDoubleClicked(tensor);
        } else if (!m_canvas->axisRectAt(event->position())
            || !m_canvas->axisRectAt(event->position())->rect().contains(event->pos())) {
            // Outside the frame: on an axis, its labels or the gaps between them.
            resetView();
            replot();
        }
    });
    connect(m_canvas, &QCustomPlot::mouseMove, this, [this](QMouseEvent* event) {
        if (event->buttons() != Qt::NoButton || !m_extras->hasData)
            return;
        const auto text = hoverText(event->position());
        m_canvas->setCursor(tensorAt(event->position()).isEmpty() ? Qt::ArrowCursor : Qt::PointingHandCursor);
        if (text.isEmpty())
            QToolTip::hideText();
        else
            QToolTip::showText(event->globalPosition().toPoint(), text, m_canvas);
    });
    // A subclass adds its axis rectangles and plottables first; setHasData() or showing themes them.
    setHasData(false);
}

Plot::~Plot() = default;

void Plot::setEmptyText(const QString& text)
{
    m_extras->emptyText->setSentence(text);
    replot();
}

bool Plot::hasData() const
{
    return m_extras->hasData;
}

void Plot::setDescription(const QString& title, const QString& sentence)
{
    m_extras->title = title;
    setAccessibleName(title);
    setAccessibleDescription(sentence);
    setWhatsThis(sentence);
}

QString Plot::title() const
{
    return m_extras->title;
}

void Plot::setHasData(bool hasData)
{
    m_extras->hasData = hasData;
    for (int i = 0; i < m_canvas->plotLayout()->elementCount(); ++i)
        if (auto* element = m_canvas->plotLayout()->elementAt(i))
            setShown(element, hasData);
    m_extras->emptyText->setVisible(!hasData);
    replot();
}

void Plot::replot()
{
    m_canvas->replot(QCustomPlot::rpQueuedReplot);
}

QString Plot::hoverText(QPointF) const
{
    return {};
}

QString Plot::tensorAt(QPointF) const
{
    return {};
}

void Plot::clicked(QPointF) { }

void Plot::extendMenu(QMenu*) { }

void Plot::resetView()
{
    m_canvas->rescaleAxes();
}

void Plot::applyTheme()
{
    const auto colors = theme();
    m_canvas->setBackground(QBrush(colors.background));
    styleElements(m_canvas->plotLayout(), colors, font());
    m_extras->emptyText->setColor(colors.mutedText);
    m_extras->emptyText->setFont(font());
    replot();
}

void Plot::changeEvent(QEvent* event)
{
    switch (event->type()) {
    case QEvent::PaletteChange:
    case QEvent::FontChange:
        if (m_extras->themed)
            applyTheme();
        break;
    default: break;
    }
    QWidget::changeEvent(event);
}

void Plot::showEvent(QShowEvent* event)
{
    ensureThemed();
    QWidget::showEvent(event);
}

void Plot::ensureThemed()
{
    if (std::exchange(m_extras->themed, true))
        return;
    applyTheme();
}

bool Plot::eventFilter(QObject* watched, QEvent* event)
{
    if (watched != m_canvas)
        return QWidget::eventFilter(watched, event);
    switch (event->type()) {
    case QEvent::Wheel:
        // On a page that scrolls, the wheel scrolls until the plot has been clicked.
        if (!m_extras->hasData || (!hasFocus() && liesInScrollingArea(this))) {
            event->ignore();
            return true;
        }
        break;
    case QEvent::ContextMenu: {
        auto* menuEvent = static_cast<QContextMenuEvent*>(event);
        showMenu(menuEvent->globalPos());
        return true;
    }
    default: break;
    }
    return QWidget::eventFilter(watched, event);
}

void Plot::showMenu(QPoint position)
{
    auto* menu = new QMenu(this);
    menu->setAttribute(Qt::WA_DeleteOnClose);
    extendMenu(menu);
    if (!menu->isEmpty())
        menu->addSeparator();
    menu->addAction(themeIcon(QStringLiteral("reset-view")), tr("&Reset view"), this, [this] {
        resetView();
        replot();
    });
    menu->addAction(themeIcon(QStringLiteral("table")), tr("Show as &table"), this, &Plot::showTable);
    menu->addAction(themeIcon(QStringLiteral("copy")), tr("&Copy data"), this, &Plot::copyData);
    menu->addAction(themeIcon(QStringLiteral("save")), tr("&Save as…"), this, &Plot::saveAs);
    for (auto* action : menu->actions())
        action->setEnabled(m_extras->hasData);
    menu->popup(position);
}

void Plot::showTable()
{
    auto* dialog = new PlotTableDialog(m_extras->title.isEmpty() ? tr("Plot data") : m_extras->title, table(), this);
    dialog->show();
}

void Plot::copyData() const
{
    QApplication::clipboard()->setText(toTabSeparated(table()));
}

void Plot::saveAs()
{
    const auto path = QFileDialog::getSaveFileName(this, tr("Save plot"), suggestedFileName(m_extras->title),
        tr("SVG drawing (*.svg);;PDF document (*.pdf);;PNG image (*.png);;CSV table (*.csv)"));
    if (path.isEmpty())
        return;
    if (const auto problem = saveTo(path); !problem.isEmpty())
        QMessageBox::warning(this, tr("Save plot"), tr("%1 could not be written: %2").arg(path, problem));
}

QString Plot::saveTo(const QString& path)
{
    const auto suffix = QFileInfo(path).suffix().toLower();
    if (suffix == QLatin1String("pdf"))
        return writeAtomically(path, [this](QIODevice* device) { writePdf(device, size(), PlotColors::Light); });
    if (suffix == QLatin1String("png"))
        return writeAtomically(path, [this](QIODevice* device) { toPixmap(size(), 2.0).save(device, "PNG"); });
    if (suffix == QLatin1String("csv"))
        return writeAtomically(path, [this](QIODevice* device) { device->write(toCsv().toUtf8()); });
    return writeAtomically(path, [this](QIODevice* device) { device->write(toSvg(size())); });
}

QString Plot::toCsv() const
{
    return toCommaSeparated(table());
}

void Plot::renderInColors(PlotColors colors, const std::function<void()>& render)
{
    ensureThemed();
    if (colors == PlotColors::Current || !theme().dark) {
        render();
        return;
    }
    const bool hadOwnPalette = testAttribute(Qt::WA_SetPalette);
    const auto before = palette();
    setPalette(lightPalette());
    render();
    setPalette(hadOwnPalette ? before : QPalette());
}

QByteArray Plot::toSvg(QSize size, PlotColors colors)
{
    QByteArray svg;
    renderInColors(colors, [&] {
        layOut(size);
        svg = drawSvg(*m_canvas, size, m_extras->title);
    });
    return svg;
}

void Plot::writePdf(QIODevice* device, QSize size, PlotColors colors)
{
    renderInColors(colors, [&] {
        layOut(size);
        drawPdf(*m_canvas, device, size, m_extras->title);
    });
}

bool Plot::savePdf(const QString& path, QSize size, PlotColors colors)
{
    return writeAtomically(path, [&](QIODevice* device) { writePdf(device, size, colors); }).isEmpty();
}

QPixmap Plot::toPixmap(QSize size, double scale, PlotColors colors)
{
    QPixmap pixmap;
    renderInColors(colors, [&] {
        layOut(size);
        pixmap = m_canvas->toPixmap(size.width(), size.height(), scale);
    });
    return pixmap;
}

void Plot::layOut(QSize /*size*/) { }

QSize Plot::sizeHint() const
{
    const int line = fontMetrics().lineSpacing();
    return {line * 26, line * 15};
}

QSize Plot::minimumSizeHint() const
{
    const int line = fontMetrics().lineSpacing();
    return {line * 14, line * 8};
}
