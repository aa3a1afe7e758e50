// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/plot_image.h"

#include "widgets/support/qcustomplot.h"

#include <QBuffer>
#include <QFontInfo>
#include <QPageLayout>
#include <QPdfWriter>
#include <QRegularExpression>
#include <QSaveFile>
#include <QSvgGenerator>

namespace {

/// CSS pixels: makes millimetres in the file equal to pixels on a web page, and fonts come out at their size.
constexpr int pixelsPerInch = 96;

/// Everything but the axis rectangles, painted over: QSvgGenerator of Qt 6.4 ignores clipping, so lines that leave
/// their axis rectangle would run through labels and margins. Lies above what is drawn and below axes and legends.
class MarginCover final : public QCPAbstractItem
{
public:
    MarginCover(QCustomPlot* canvas, const QBrush& brush)
        : QCPAbstractItem(canvas)
        , m_brush(brush)
    {
        setClipToAxisRect(false);
    }
    double selectTest(const QPointF&, bool, QVariant*) const override { return -1.0; }

protected:
    void draw(QCPPainter* painter) override
    {
        QPainterPath path;
        path.addRect(mParentPlot->viewport());
        QPainterPath holes;
        for (const auto* rect : mParentPlot->axisRects())
            holes.addRect(rect->rect());
        for (const auto* element : mParentPlot->plotLayout()->elements(true))
            if (const auto* scale = qobject_cast<const QCPColorScale*>(element))
                holes.addRect(scale->rect());
        painter->setAntialiasing(false);
        painter->setPen(Qt::NoPen);
        painter->setBrush(m_brush);
        painter->drawPath(path.subtracted(holes));
    }

private:
    QBrush m_brush;
};

}  // namespace

QByteArray drawSvg(QCustomPlot& canvas, QSize size, const QString& title)
{
    QBuffer buffer;
    buffer.open(QIODevice::WriteOnly);
    QSvgGenerator generator;
    generator.setOutputDevice(&buffer);
    generator.setSize(size);
    generator.setViewBox(QRect(QPoint(), size));
    generator.setResolution(pixelsPerInch);
    generator.setTitle(title);
    generator.setDescription(QStringLiteral("Quantloupe"));
    {
        QCPPainter painter;
        painter.begin(&generator);
        painter.setMode(QCPPainter::pmVectorized);
        painter.setMode(QCPPainter::pmNoCaching);
        const auto layer = QStringLiteral("margins");
        canvas.addLayer(layer, canvas.layer(QStringLiteral("main")), QCustomPlot::limAbove);
        auto* cover = new MarginCover(&canvas, canvas.palette().base());
        cover->setLayer(layer);
        canvas.toPainter(&painter, size.width(), size.height());
        painter.end();
        canvas.removeItem(cover);
        canvas.removeLayer(canvas.layer(layer));
    }
    // The face that was really used and measured, not an alias that other readers resolve otherwise; readers without
    // it fall back to one of the same kind.
    auto svg = QString::fromUtf8(buffer.data());
    static const QRegularExpression family(QStringLiteral("font-family=\"([^\",]*)\""));
    for (auto match = family.match(svg); match.hasMatch();) {
        const auto text =
            QStringLiteral("font-family=\"%1, sans-serif\"").arg(QFontInfo(QFont(match.captured(1))).family());
        svg.replace(match.captured(0), text);
        match = family.match(svg);
    }
    return svg.toUtf8();
}

void drawPdf(QCustomPlot& canvas, QIODevice* device, QSize size, const QString& title)
{
    QPdfWriter writer(device);
    // At other resolutions QCustomPlot's fonts come out in the wrong size.
    writer.setResolution(pixelsPerInch);
    writer.setTitle(title);
    writer.setCreator(QStringLiteral("Quantloupe"));
    const QSizeF points = QSizeF(size) * 72.0 / pixelsPerInch;
    writer.setPageLayout(QPageLayout(QPageSize(points, QPageSize::Point, QString(), QPageSize::ExactMatch),
        QPageLayout::Portrait, QMarginsF(), QPageLayout::Point));
    QCPPainter painter;
    painter.begin(&writer);
    painter.setRenderHint(QPainter::LosslessImageRendering);
    painter.setMode(QCPPainter::pmVectorized);
    painter.setMode(QCPPainter::pmNoCaching);
    canvas.toPainter(&painter, size.width(), size.height());
    painter.end();
}

QString writeAtomically(const QString& path, const std::function<void(QIODevice*)>& write)
{
    QSaveFile file(path);
    if (!file.open(QIODevice::WriteOnly))
        return file.errorString();
    write(&file);
    return file.commit() ? QString() : file.errorString();
}

QString suggestedFileName(const QString& title)
{
    static const QRegularExpression others(QStringLiteral("[^\\p{L}\\p{N}]+"));
    auto stem = title.toLower().replace(others, QStringLiteral("-"));
    while (stem.endsWith(u'-'))
        stem.chop(1);
    return (stem.isEmpty() ? QStringLiteral("plot") : stem) + QStringLiteral(".svg");
}
