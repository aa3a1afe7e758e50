// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/theme/fonts.h"

#include <QFontDatabase>
#include <QFontInfo>
#include <QFontMetricsF>
#include <QStringList>

#include <algorithm>
#include <cmath>
#include <string_view>

namespace {

bool digitsAreTabular(const QFont& font)
{
    const QFontMetricsF metrics(font);
    const double width = metrics.horizontalAdvance(QLatin1Char('0'));
    constexpr std::string_view others = "123456789";
    return std::all_of(others.begin(), others.end(),
        [&](char digit) { return std::abs(metrics.horizontalAdvance(QLatin1Char(digit)) - width) < 0.01; });
}

}  // namespace

QFont tabularFont(const QFont& base)
{
    if (digitsAreTabular(base))
        return base;
    // Proportional faces with tabular digits by default, before falling back to a fixed pitch.
    for (const auto* family : {"Noto Sans", "DejaVu Sans", "Liberation Sans", "Segoe UI", "Arial"}) {
        QFont font(base);
        font.setFamilies(QStringList {QLatin1String(family)});
        if (QFontInfo(font).family() == QLatin1String(family) && digitsAreTabular(font))
            return font;
    }
    QFont fixed = QFontDatabase::systemFont(QFontDatabase::FixedFont);
    fixed.setPointSizeF(base.pointSizeF() > 0 ? base.pointSizeF() : QFontInfo(base).pointSizeF());
    return fixed;
}

QFont scaledFont(const QFont& base, double factor, bool bold)
{
    QFont font(base);
    if (base.pointSizeF() > 0)
        font.setPointSizeF(base.pointSizeF() * factor);
    else
        font.setPixelSize(std::max(1, qRound(base.pixelSize() * factor)));
    if (bold)
        font.setWeight(QFont::DemiBold);
    return font;
}
