// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/theme/color_maps.h"

#include <array>

namespace {

template<std::size_t count>
QCPColorGradient evenlySpaced(const std::array<QRgb, count>& colors)
{
    QMap<double, QColor> stops;
    for (std::size_t i = 0; i < count; ++i)
        stops.insert(static_cast<double>(i) / static_cast<double>(count - 1), QColor(colors[i]));
    QCPColorGradient gradient;
    gradient.setColorStops(stops);
    gradient.setColorInterpolation(QCPColorGradient::ciRGB);
    gradient.setLevelCount(350);
    gradient.setNanHandling(QCPColorGradient::nhTransparent);
    return gradient;
}

}  // namespace

QCPColorGradient viridis()
{
    return evenlySpaced(std::array<QRgb, 17> {0x440154, 0x481a6c, 0x472f7d, 0x414487, 0x39568c, 0x31688e, 0x2a788e,
        0x23888e, 0x1f988b, 0x22a884, 0x35b779, 0x54c568, 0x7ad151, 0xa5db36, 0xd2e21b, 0xf0e51d, 0xfde725});
}

QCPColorGradient diverging(bool dark)
{
    if (dark)
        return evenlySpaced(std::array<QRgb, 7> {0xa9dcff, 0x4aa3e0, 0x1f5d94, 0x24272c, 0x93461a, 0xe07b39, 0xffd0a6});
    return evenlySpaced(std::array<QRgb, 7> {0x08406f, 0x2e7ebb, 0x9cc8e6, 0xf7f7f5, 0xf5b98a, 0xd5682a, 0x7d2c05});
}
