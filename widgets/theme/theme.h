// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QObject>
#include <QPalette>

/// Which colours the interface wears.
enum class ThemeMode { System, Light, Dark };

/// The program's palettes: one accent colour, legible in both. Need no running application.
QPalette lightPalette();
QPalette darkPalette();
/// Whether text is lighter than what it stands on.
bool isDark(const QPalette& palette);

/// The look of the whole application: Fusion with visible outlines, in a light or a dark palette, following the system
/// or forced, switchable at run time. Widgets learn of a change by QEvent::PaletteChange.
class Theme final : public QObject
{
    Q_OBJECT
public:
    /// The one of the running QApplication, made at first use; it has no effect before setMode().
    static Theme& instance();

    ThemeMode mode() const { return m_mode; }
    /// Installs style and palette.
    void setMode(ThemeMode mode);
    /// What is worn now, whatever decided it.
    bool dark() const;

Q_SIGNALS:
    void changed();

protected:
    /// Watches for the desktop's theme changing.
    bool eventFilter(QObject* watched, QEvent* event) override;

private:
    explicit Theme(QObject* parent);
    void apply();

    ThemeMode m_mode = ThemeMode::System;
    bool m_styleInstalled = false;
};
