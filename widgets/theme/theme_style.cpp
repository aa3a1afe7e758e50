// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/theme/theme_style.h"

#include "widgets/theme/theme.h"

#include <QStyleOption>

namespace {

/// What Fusion divides the window colour's value by for an outline.
constexpr int outlineDarkening = 140;

}  // namespace

ThemeStyle::ThemeStyle()
    : QProxyStyle(QStringLiteral("Fusion"))
{
}

const QPalette& ThemeStyle::bordered(const QPalette& palette, bool strong) const
{
    const std::pair key(palette.cacheKey(), strong);
    const auto known = m_bordered.constFind(key);
    if (known != m_bordered.constEnd())
        return *known;
    if (m_bordered.size() > 64)
        m_bordered.clear();
    QPalette result = palette;
    const bool dark = isDark(palette);
    const QColor border(strong ? (dark ? 0x9aa1ab : 0x7d8590) : (dark ? 0x6b727c : 0xb4bac3));
    result.setColor(QPalette::Window, border.lighter(outlineDarkening));
    return *m_bordered.insert(key, result);
}

void ThemeStyle::drawPrimitive(
    PrimitiveElement element, const QStyleOption* option, QPainter* painter, const QWidget* widget) const
{
    const auto withBorder = [&](auto copy, bool strong) {
        copy.palette = bordered(option->palette, strong);
        QProxyStyle::drawPrimitive(element, &copy, painter, widget);
    };
    if (element == PE_IndicatorCheckBox || element == PE_IndicatorRadioButton) {
        if (const auto* button = qstyleoption_cast<const QStyleOptionButton*>(option))
            return withBorder(*button, true);
    } else if (element == PE_FrameLineEdit || element == PE_PanelLineEdit) {
        if (const auto* frame = qstyleoption_cast<const QStyleOptionFrame*>(option))
            return withBorder(*frame, false);
    }
    QProxyStyle::drawPrimitive(element, option, painter, widget);
}

void ThemeStyle::drawComplexControl(
    ComplexControl control, const QStyleOptionComplex* option, QPainter* painter, const QWidget* widget) const
{
    const auto withBorder = [&](auto copy) {
        copy.palette = bordered(option->palette);
        QProxyStyle::drawComplexControl(control, &copy, painter, widget);
    };
    if (const auto* slider = qstyleoption_cast<const QStyleOptionSlider*>(option); slider && control == CC_Slider)
        withBorder(*slider);
    else if (const auto* spin = qstyleoption_cast<const QStyleOptionSpinBox*>(option); spin && control == CC_SpinBox)
        withBorder(*spin);
    else if (const auto* combo = qstyleoption_cast<const QStyleOptionComboBox*>(option);
             combo && control == CC_ComboBox)
        withBorder(*combo);
    else
        QProxyStyle::drawComplexControl(control, option, painter, widget);
}

int ThemeStyle::styleHint(
    StyleHint hint, const QStyleOption* option, const QWidget* widget, QStyleHintReturn* returnData) const
{
    switch (hint) {
    case SH_ToolTip_WakeUpDelay: return 350;
    // Combo boxes list under their field instead of covering it.
    case SH_ComboBox_Popup: return 0;
    case SH_EtchDisabledText: return 0;
    default: return QProxyStyle::styleHint(hint, option, widget, returnData);
    }
}
