// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/plot_image.h"

#include "widgets/support/qcustomplot.h"

#include <QBuffer>
#include <QPageLayout>
#include <QPdfWriter>
#include <QRegularExpression>
#include <QSaveFile>
#include <QSvgGenerator>

namespace {

/// CSS pixels: makes millimetres in the file equal to pixels on a web page, and fonts come out at their size.
constexpr int pixelsPerInch = 96;

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
        canvas.toPainter(&painter, size.width(), size.height());
        painter.end();
    }
    // Readers without this font fall back to one of the same kind.
    auto svg = QString::fromUtf8(buffer.data());
    static const QRegularExpression family(QStringLiteral("font-family=\"([^\",]*)\""));
    svg.replace(family, QStringLiteral("font-family=\"\\1, sans-serif\""));
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
