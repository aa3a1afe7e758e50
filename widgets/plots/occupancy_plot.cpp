// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/occupancy_plot.h"

#include "widgets/plots/plot_style.h"
#include "widgets/plots/tickers.h"
#include "widgets/support/format_text.h"
#include "widgets/support/qcustomplot.h"
#include "widgets/theme/fonts.h"

#include <algorithm>
#include <cmath>

OccupancyPlot::OccupancyPlot(QWidget* parent)
    : Plot(parent)
    , m_bars(new QCPBars(canvas()->xAxis, canvas()->yAxis))
    , m_note(new QCPTextElement(canvas()))
{
    setDescription(tr("Code occupancy"),
        tr("How often each quantization level is used. The entropy says how many bits the codes really carry: far "
           "below "
           "the code width, a smaller format or a tighter range would do."));
    setEmptyText(tr("Shown for formats of up to 256 levels"));
    canvas()->xAxis->setLabel(tr("Level, from the lowest value up"));
    canvas()->xAxis->setTicker(QSharedPointer<IntegerTicker>::create());
    canvas()->xAxis->grid()->setVisible(false);
    canvas()->yAxis->setLabel(tr("Weights (%)"));
    canvas()->yAxis->setTicker(QSharedPointer<SiTicker>::create());
    m_bars->setWidth(0.82);
    m_note->setTextFlags(Qt::AlignRight | Qt::AlignVCenter);
    m_note->setMargins(QMargins(8, 6, 8, 0));
    canvas()->plotLayout()->insertRow(0);
    canvas()->plotLayout()->addElement(0, 0, m_note);
    canvas()->plotLayout()->setRowStretchFactor(0, 0.001);
    canvas()->plotLayout()->setRowSpacing(0);
}

void OccupancyPlot::setOccupancy(std::vector<std::uint64_t> counts, double entropyBits, std::vector<float> levels)
{
    m_counts = std::move(counts);
    m_levels = std::move(levels);
    m_total = 0.0;
    qsizetype unused = 0;
    for (const auto count : m_counts) {
        m_total += static_cast<double>(count);
        unused += count == 0;
    }
    QVector<double> keys, shares;
    for (std::size_t code = 0; code < m_counts.size(); ++code) {
        keys << static_cast<double>(code);
        shares << share(code) * 100.0;
    }
    m_bars->setData(keys, shares, true);
    if (!m_counts.empty()) {
        const double possible = std::log2(static_cast<double>(m_counts.size()));
        auto text = tr("entropy %1 of %2 bits")
                        .arg(QLocale().toString(entropyBits, 'f', 2), QLocale().toString(possible, 'f', 2));
        if (unused > 0)
            text += QStringLiteral("   ")
                + tr("levels never used: %1 of %2")
                      .arg(QLocale().toString(unused), QLocale().toString(static_cast<qulonglong>(m_counts.size())));
        m_note->setText(text);
    }
    setHasData(m_total > 0.0);
    resetView();
    replot();
}

double OccupancyPlot::share(std::size_t code) const
{
    return m_total > 0.0 ? static_cast<double>(m_counts[code]) / m_total : 0.0;
}

PlotTable OccupancyPlot::table() const
{
    PlotTable table {{tr("Level"), tr("Value"), tr("Weights"), tr("Share")}, {}};
    for (std::size_t code = 0; code < m_counts.size(); ++code)
        table.rows.append({static_cast<qulonglong>(code),
            code < m_levels.size() ? QVariant(static_cast<double>(m_levels[code])) : QVariant(),
            static_cast<qulonglong>(m_counts[code]), share(code)});
    return table;
}

QString OccupancyPlot::hoverText(QPointF position) const
{
    if (!canvas()->axisRect()->rect().contains(position.toPoint()))
        return {};
    const double place = std::round(canvas()->xAxis->pixelToCoord(position.x()));
    if (place < 0.0 || place >= static_cast<double>(m_counts.size()))
        return {};
    const auto code = static_cast<std::size_t>(place);
    auto text =
        tr("level %1: %2 weights (%3)")
            .arg(QLocale().toString(place, 'f', 0), format::integer(m_counts[code]), format::percent(share(code)));
    if (code < m_levels.size())
        text += u'\n' + tr("stands for about %1").arg(format::number(static_cast<double>(m_levels[code])));
    return text;
}

void OccupancyPlot::resetView()
{
    double largest = 0.0;
    for (std::size_t code = 0; code < m_counts.size(); ++code)
        largest = std::max(largest, share(code) * 100.0);
    canvas()->xAxis->setRange(-0.8, static_cast<double>(m_counts.size()) - 0.2);
    canvas()->yAxis->setRange(0.0, largest > 0.0 ? largest * 1.06 : 1.0);
}

void OccupancyPlot::applyTheme()
{
    Plot::applyTheme();
    const auto colors = theme();
    m_bars->setPen(Qt::NoPen);
    m_bars->setBrush(colors.accent);
    m_note->setTextColor(colors.mutedText);
    m_note->setFont(tabularFont(scaledFont(font(), 0.9)));
}
