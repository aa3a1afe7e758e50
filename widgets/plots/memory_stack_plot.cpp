// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/memory_stack_plot.h"

#include "widgets/plots/plot_style.h"
#include "widgets/plots/tickers.h"
#include "widgets/support/format_text.h"
#include "widgets/support/qcustomplot.h"
#include "widgets/theme/fonts.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace {

/// Rows of limit names above the bars, in units of the bar axis.
constexpr double limitRow = 0.34;

QString bytesText(double bytes)
{
    return format::bytes(static_cast<std::uint64_t>(std::llround(std::max(bytes, 0.0))));
}

}  // namespace

MemoryStackPlot::MemoryStackPlot(QWidget* parent)
    : Plot(parent)
{
    setDescription(
        tr("Memory"), tr("Projected memory by use: weights, KV cache and activations, against what the device has."));
    setEmptyText(tr("Open a model to project its memory"));
    canvas()->yAxis->setRangeReversed(true);
    canvas()->yAxis->setSubTicks(false);
    canvas()->yAxis->grid()->setVisible(false);
    canvas()->xAxis->setTicker(QSharedPointer<QCPAxisTicker>(new ByteTicker));
    canvas()->xAxis->setLabel(tr("Memory (projected)"));
    canvas()->axisRect()->setRangeDrag(Qt::Horizontal);
    canvas()->axisRect()->setRangeZoom(Qt::Horizontal);
    placeLegendAbove(canvas(), 3);
}

void MemoryStackPlot::setData(MemoryStackData content)
{
    m_data = std::move(content);
    rebuild();
    setHasData(!m_data.bars.empty());
    resetView();
    replot();
}

double MemoryStackPlot::shownUpTo() const
{
    double largest = 0.0;
    for (const auto& bar : m_data.bars)
        largest = std::max(largest, bar.total());
    double shown = largest * 1.6;  // room for the text after the longest bar
    // A limit far beyond the bars would shrink them to nothing; its name then points out of the picture.
    for (const auto& limit : m_data.limits) {
        if (limit.bytes <= 3.0 * largest)
            shown = std::max(shown, limit.bytes * 1.1);
    }
    return shown > 0.0 ? shown : 1.0;
}

void MemoryStackPlot::rebuild()
{
    canvas()->clearPlottables();
    for (int i = canvas()->itemCount() - 1; i >= 0; --i) {
        if (canvas()->item(i)->clipToAxisRect())  // not the base's empty text
            canvas()->removeItem(i);
    }
    const PlotTheme colors = theme();
    const std::array<QColor, 3> fills {colors.accent, colors.series[3], colors.series[1]};
    const std::array<QString, 3> names {tr("Weights"), tr("KV cache"), tr("Activations")};
    const QSharedPointer<QCPAxisTickerText> labels(new QCPAxisTickerText);
    QCPBars* below = nullptr;
    for (std::size_t part = 0; part < names.size(); ++part) {
        auto* bars = new QCPBars(canvas()->yAxis, canvas()->xAxis);
        bars->setName(names[part]);
        bars->setWidth(0.56);
        bars->setPen(QPen(colors.background, 1));
        bars->setBrush(fills[part]);
        bars->setSelectable(QCP::stNone);
        if (below)
            bars->moveAbove(below);
        below = bars;
        for (std::size_t i = 0; i < m_data.bars.size(); ++i) {
            const auto& bar = m_data.bars[i];
            bars->addData(static_cast<double>(i), part == 0 ? bar.weights : part == 1 ? bar.keyValue : bar.activations);
        }
    }
    const auto text = [&](double x, double y, const QString& content, Qt::Alignment alignment, const QColor& color) {
        auto* item = new QCPItemText(canvas());
        item->setClipToAxisRect(true);
        item->position->setCoords(x, y);
        item->setPositionAlignment(alignment);
        item->setPadding(QMargins(6, 0, 6, 0));
        item->setText(content);
        item->setFont(tabularFont(scaledFont(font(), 0.9)));
        item->setColor(color);
        item->setSelectable(false);
    };
    for (std::size_t i = 0; i < m_data.bars.size(); ++i) {
        const auto& bar = m_data.bars[i];
        labels->addTick(static_cast<double>(i), bar.label);
        QString note = bytesText(bar.total());
        bool fits = true;
        if (m_data.limits.size() == 1) {
            fits = bar.total() <= m_data.limits.front().bytes;
            note = (fits ? tr("%1, fits") : tr("%1, does not fit")).arg(note);
        }
        text(bar.total(), static_cast<double>(i), note, Qt::AlignLeft | Qt::AlignVCenter,
            fits ? colors.text : colors.warning);
    }
    canvas()->yAxis->setTicker(labels);

    const double shown = shownUpTo();
    for (std::size_t i = 0; i < m_data.limits.size(); ++i) {
        const auto& limit = m_data.limits[i];
        const double row = -0.5 - limitRow * (static_cast<double>(m_data.limits.size() - i) - 0.5);
        const bool inside = limit.bytes <= shown;
        const QString name = inside ? tr("%1: %2").arg(limit.label, bytesText(limit.bytes))
                                    : tr("%1: %2 →").arg(limit.label, bytesText(limit.bytes));
        if (inside) {
            auto* line = new QCPItemLine(canvas());
            line->setClipToAxisRect(true);
            line->start->setCoords(limit.bytes, row - 0.5 * limitRow);
            line->end->setCoords(limit.bytes, static_cast<double>(m_data.bars.size()) - 0.5);
            line->setPen(QPen(colors.warning, 1.6, Qt::DashLine));
            line->setSelectable(false);
        }
        // The name stands on the side of its line that has room.
        const bool left = !inside || limit.bytes > 0.5 * shown;
        text(inside ? limit.bytes : shown, row, name, (left ? Qt::AlignRight : Qt::AlignLeft) | Qt::AlignVCenter,
            inside ? colors.warning : colors.mutedText);
    }
}

PlotTable MemoryStackPlot::table() const
{
    PlotTable table;
    table.header << tr("What") << tr("Weights (bytes)") << tr("KV cache (bytes)") << tr("Activations (bytes)")
                 << tr("Total (bytes)");
    for (const auto& bar : m_data.bars)
        table.rows << QVariantList {bar.label, bar.weights, bar.keyValue, bar.activations, bar.total()};
    for (const auto& limit : m_data.limits)
        table.rows << QVariantList {
            tr("Memory of %1").arg(limit.label), QVariant(), QVariant(), QVariant(), limit.bytes};
    return table;
}

QPointF MemoryStackPlot::barCenter(int bar) const
{
    const auto& source = m_data.bars.at(static_cast<std::size_t>(bar));
    return {canvas()->xAxis->coordToPixel(source.total() / 2.0), canvas()->yAxis->coordToPixel(bar)};
}

QString MemoryStackPlot::hoverText(QPointF position) const
{
    if (!canvas()->axisRect()->rect().contains(position.toPoint()))
        return {};
    const double at = canvas()->yAxis->pixelToCoord(position.y());
    const auto index = std::lround(at);
    if (index < 0 || index >= static_cast<long>(m_data.bars.size()) || std::abs(at - static_cast<double>(index)) > 0.32)
        return {};
    const auto& bar = m_data.bars[static_cast<std::size_t>(index)];
    return tr("<b>%1</b> (projected)<br>Weights %2<br>KV cache %3<br>Activations %4<br>Total %5")
        .arg(bar.label.toHtmlEscaped(), bytesText(bar.weights), bytesText(bar.keyValue), bytesText(bar.activations),
            bytesText(bar.total()));
}

void MemoryStackPlot::applyTheme()
{
    rebuild();
    Plot::applyTheme();
    canvas()->yAxis->setTickLength(0, 0);
    canvas()->yAxis->setTickLabelColor(theme().text);
}

void MemoryStackPlot::resetView()
{
    canvas()->xAxis->setRange(0.0, shownUpTo());
    canvas()->yAxis->setRange(-0.55 - limitRow * static_cast<double>(m_data.limits.size()),
        std::max<double>(1.0, static_cast<double>(m_data.bars.size())) - 0.45);
}
