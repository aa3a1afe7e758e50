// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QHash>
#include <QPalette>
#include <QProxyStyle>

#include <utility>

/// Fusion with outlines that stay visible on dark windows. Fusion derives every outline from the window colour,
/// darkened; the frames of input widgets are therefore painted with a window colour that darkens to a visible border.
class ThemeStyle final : public QProxyStyle
{
    Q_OBJECT
public:
    ThemeStyle();

    void drawPrimitive(PrimitiveElement element, const QStyleOption* option, QPainter* painter,
        const QWidget* widget = nullptr) const override;
    void drawComplexControl(ComplexControl control, const QStyleOptionComplex* option, QPainter* painter,
        const QWidget* widget = nullptr) const override;
    int styleHint(StyleHint hint, const QStyleOption* option = nullptr, const QWidget* widget = nullptr,
        QStyleHintReturn* returnData = nullptr) const override;

private:
    /// `strong`: for marks so small that a frame's outline would be lost on them.
    const QPalette& bordered(const QPalette& palette, bool strong = false) const;

    /// Fusion caches pixmaps by palette key: one bordered palette per palette keeps that cache small.
    mutable QHash<std::pair<qint64, bool>, QPalette> m_bordered;
};
