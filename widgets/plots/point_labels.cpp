// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/point_labels.h"

#include <QFontMetricsF>

#include <algorithm>
#include <array>

namespace {

constexpr double pointRadius = 6.0;

/// Where a name may stand relative to its point, best first: shares of its own size and gaps in pixels.
struct Place {
    double widths, heights, gapX, gapY;
};
constexpr std::array places {Place {0, -1, 7, -3}, Place {0, -0.5, 10, 0}, Place {0, 0, 7, 3}, Place {-1, -1, -7, -3},
    Place {-1, -0.5, -10, 0}, Place {-1, 0, -7, 3}, Place {-0.5, -1, 0, -8}, Place {-0.5, 0, 0, 8},
    Place {0, -2, 9, -6}, Place {0, 1, 9, 6}, Place {-1, -2, -9, -6}, Place {-1, 1, -9, 6}};

}  // namespace

PointLabels::PointLabels(QCustomPlot* canvas)
    : QCPAbstractItem(canvas)
{
    setClipToAxisRect(false);
    setSelectable(false);
}

double PointLabels::selectTest(const QPointF&, bool, QVariant*) const
{
    return -1.0;
}

void PointLabels::draw(QCPPainter* painter)
{
    const QRectF area(mParentPlot->axisRect()->rect());
    const auto pixel = [&](QPointF position) {
        return QPointF(mParentPlot->xAxis->coordToPixel(position.x()), mParentPlot->yAxis->coordToPixel(position.y()));
    };
    std::vector<QRectF> taken;
    const auto reserve = [&](QPointF position, double radius) {
        const QPointF center = pixel(position);
        taken.emplace_back(center.x() - radius, center.y() - radius, 2.0 * radius, 2.0 * radius);
    };
    for (const Label& label : labels)
        reserve(label.position, pointRadius);
    for (const QPointF& obstacle : obstacles)
        reserve(obstacle, 2.0);

    painter->setFont(font);
    painter->setAntialiasing(true);
    const QFontMetricsF metrics(font);
    for (const Label& label : labels) {
        const QPointF center = pixel(label.position);
        if (!area.contains(center))
            continue;
        const QSizeF size(metrics.horizontalAdvance(label.text), metrics.height());
        for (const Place& place : places) {
            const QRectF rect(QPointF(center.x() + place.widths * size.width() + place.gapX,
                                  center.y() + place.heights * size.height() + place.gapY),
                size);
            const bool free = area.contains(rect) && std::none_of(taken.begin(), taken.end(), [&](const QRectF& other) {
                return other.intersects(rect);
            });
            if (!free)
                continue;
            taken.push_back(rect);
            painter->setPen(label.color);
            painter->drawText(rect, Qt::AlignCenter | Qt::TextDontClip, label.text);
            break;
        }
    }
}
