// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/theme/icons.h"

#include <QDir>
#include <QFile>
#include <QGuiApplication>
#include <QIconEngine>
#include <QPainter>
#include <QPalette>
#include <QSvgRenderer>

/// Resources of a static library are registered by hand; Q_INIT_RESOURCE must stand outside any namespace.
static void registerIcons()
{
    Q_INIT_RESOURCE(icons);
}

namespace {

/// The files draw in currentColor, which Qt's SVG renderer does not know: it is written in before rendering.
class TintedIconEngine final : public QIconEngine
{
public:
    explicit TintedIconEngine(QByteArray svg)
        : m_svg(std::move(svg))
    {
    }

    void paint(QPainter* painter, const QRect& rectangle, QIcon::Mode mode, QIcon::State) override
    {
        const auto palette = QGuiApplication::palette();
        auto color = palette.color(QPalette::Active, QPalette::ButtonText);
        if (mode == QIcon::Disabled)
            color = palette.color(QPalette::Disabled, QPalette::ButtonText);
        else if (mode == QIcon::Selected)
            color = palette.color(QPalette::HighlightedText);
        QByteArray tinted = m_svg;
        tinted.replace("currentColor", color.name().toLatin1());
        QSvgRenderer renderer(tinted);
        renderer.setAspectRatioMode(Qt::KeepAspectRatio);
        renderer.render(painter, rectangle);
    }

    QPixmap pixmap(const QSize& size, QIcon::Mode mode, QIcon::State state) override
    {
        QPixmap result(size);
        result.fill(Qt::transparent);
        QPainter painter(&result);
        paint(&painter, QRect(QPoint(), size), mode, state);
        return result;
    }

    QIconEngine* clone() const override { return new TintedIconEngine(m_svg); }

private:
    QByteArray m_svg;
};

constexpr QLatin1String folder(":/icons/");

}  // namespace

QIcon themeIcon(const QString& name)
{
    registerIcons();
    QFile file(folder + name + QStringLiteral(".svg"));
    if (!file.open(QIODevice::ReadOnly))
        return {};
    return QIcon(new TintedIconEngine(file.readAll()));
}

QStringList themeIconNames()
{
    registerIcons();
    QStringList names;
    for (const auto& file : QDir(folder).entryList({QStringLiteral("*.svg")}))
        names << file.chopped(4);
    return names;
}
