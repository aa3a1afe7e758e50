// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/theme/theme.h"

#include "widgets/theme/theme_style.h"

#include <QApplication>
#include <QEvent>
#include <QToolTip>
#include <QWindow>

#include <utility>

namespace {

struct Shades {
    QColor window, base, alternate, text, muted, disabled, button, accent, onAccent, link, tooltip;
};

QPalette paletteOf(const Shades& shades)
{
    QPalette palette(shades.text, shades.button, shades.button.lighter(120), shades.window.darker(160),
        shades.window.darker(125), shades.text, shades.onAccent, shades.base, shades.window);
    palette.setColor(QPalette::AlternateBase, shades.alternate);
    palette.setColor(QPalette::Highlight, shades.accent);
    palette.setColor(QPalette::HighlightedText, shades.onAccent);
    palette.setColor(QPalette::Link, shades.link);
    palette.setColor(QPalette::LinkVisited, shades.link);
    palette.setColor(QPalette::PlaceholderText, shades.muted);
    palette.setColor(QPalette::ToolTipBase, shades.tooltip);
    palette.setColor(QPalette::ToolTipText, shades.text);
    for (const auto role : {QPalette::WindowText, QPalette::Text, QPalette::ButtonText, QPalette::HighlightedText})
        palette.setColor(QPalette::Disabled, role, shades.disabled);
    palette.setColor(QPalette::Disabled, QPalette::Highlight, shades.window.darker(125));
    return palette;
}

/// The palette that the desktop asks for, which an application palette of ours would hide.
QPalette systemPalette()
{
    QApplication::setPalette(QPalette());
    return QApplication::palette();
}

}  // namespace

QPalette lightPalette()
{
    return paletteOf({.window = 0xf3f4f6,
        .base = 0xffffff,
        .alternate = 0xf7f8fa,
        .text = 0x1b1e23,
        .muted = 0x6b7280,
        .disabled = 0x9aa1ab,
        .button = 0xfafbfc,
        .accent = 0x1668b0,
        .onAccent = 0xffffff,
        .link = 0x1668b0,
        .tooltip = 0xffffff});
}

QPalette darkPalette()
{
    // Fusion draws outlines darker than the window, so the window has to be lighter than what it frames.
    return paletteOf({.window = 0x35383e,
        .base = 0x1e2024,
        .alternate = 0x24272c,
        .text = 0xe6e8eb,
        .muted = 0x9aa1ab,
        .disabled = 0x7b828c,
        .button = 0x43474f,
        .accent = 0x3f8fd2,
        .onAccent = 0xffffff,
        .link = 0x6fb3ea,
        .tooltip = 0x43474f});
}

bool isDark(const QPalette& palette)
{
    return palette.color(QPalette::WindowText).lightnessF() > palette.color(QPalette::Window).lightnessF();
}

Theme& Theme::instance()
{
    // Owned by the application, so that tests which make several applications in turn each get a fresh one.
    if (auto* existing = qApp->findChild<Theme*>(QString(), Qt::FindDirectChildrenOnly))
        return *existing;
    return *new Theme(qApp);
}

Theme::Theme(QObject* parent)
    : QObject(parent)
{
    qApp->installEventFilter(this);
}

void Theme::setMode(ThemeMode mode)
{
    m_mode = mode;
    if (!std::exchange(m_styleInstalled, true))
        QApplication::setStyle(new ThemeStyle);
    apply();
}

bool Theme::dark() const
{
    return isDark(QApplication::palette());
}

void Theme::apply()
{
    const bool dark = m_mode == ThemeMode::Dark || (m_mode == ThemeMode::System && isDark(systemPalette()));
    const auto palette = dark ? darkPalette() : lightPalette();
    QApplication::setPalette(palette);
    QToolTip::setPalette(palette);
    Q_EMIT changed();
}

bool Theme::eventFilter(QObject* watched, QEvent* event)
{
    // Sent to windows when the desktop's theme changes; queued, because setting a palette inside would recurse.
    if (event->type() == QEvent::ThemeChange && m_styleInstalled && m_mode == ThemeMode::System
        && qobject_cast<QWindow*>(watched))
        QMetaObject::invokeMethod(this, &Theme::apply, Qt::QueuedConnection);
    return QObject::eventFilter(watched, event);
}
