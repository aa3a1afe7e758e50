// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/latency_plot.h"

#include "widgets/plots/tickers.h"
#include "widgets/support/format_text.h"
#include "widgets/support/qcustomplot.h"
#include "widgets/theme/fonts.h"

#include <algorithm>
#include <cmath>

LatencyPlot::LatencyPlot(QWidget* parent)
    : Plot(parent)
{
    canvas()->axisRect()->insetLayout()->remove(canvas()->legend);
    setDescription(tr("Speed and energy"),
        tr("Projected tokens per second while reading the prompt and while generating, and energy per generated "
           "token."));
    setEmptyText(tr("Open a model to project its speed"));
    m_panels[0] = canvas()->axisRect();
    for (std::size_t i = 1; i < m_panels.size(); ++i) {
        m_panels[i] = new QCPAxisRect(canvas());
        canvas()->plotLayout()->addElement(0, static_cast<int>(i), m_panels[i]);
        for (QCPAxis* axis : m_panels[i]->axes()) {
            axis->setLayer(QStringLiteral("axes"));
            axis->grid()->setLayer(QStringLiteral("grid"));
        }
    }
    const std::array labels {tr("Prefill\n(tokens/s),\nprojected"), tr("Decode\n(tokens/s),\nprojected"),
        tr("Energy\n(J/token),\nprojected")};
    // The first panel's share includes the names of the bars.
    canvas()->plotLayout()->setColumnStretchFactors({1.5, 1.0, 1.0});
    auto* margins = new QCPMarginGroup(canvas());
    for (std::size_t i = 0; i < m_panels.size(); ++i) {
        QCPAxisRect* panel = m_panels[i];
        panel->setMarginGroup(QCP::msBottom | QCP::msTop, margins);
        panel->setMinimumMargins(QMargins(8, 8, 12, 4));
        panel->axis(QCPAxis::atBottom)->setLabel(labels[i]);
        panel->axis(QCPAxis::atBottom)->setTicker(QSharedPointer<QCPAxisTicker>(new SiTicker));
        panel->axis(QCPAxis::atBottom)->ticker()->setTickCount(2);
        panel->axis(QCPAxis::atLeft)->setRangeReversed(true);
        panel->axis(QCPAxis::atLeft)->setSubTicks(false);
        panel->axis(QCPAxis::atLeft)->grid()->setVisible(false);
        panel->axis(QCPAxis::atLeft)->setTickLabels(i == 0);
        panel->setRangeDrag(Qt::Orientations());
        panel->setRangeZoom(Qt::Orientations());
    }
}

void LatencyPlot::setData(LatencyData content)
{
    m_data = std::move(content);
    rebuild();
    setHasData(!m_data.entries.empty());
    resetView();
    replot();
}

double LatencyPlot::value(std::size_t panel, std::size_t entry) const
{
    const auto& source = m_data.entries[entry];
    const double figure = panel == 0 ? source.prefillTokensPerSecond
        : panel == 1                 ? source.decodeTokensPerSecond
                                     : source.energyPerToken;
    return std::isfinite(figure) ? figure : 0.0;
}

QString LatencyPlot::barText(int panel, int entry) const
{
    const double figure = value(static_cast<std::size_t>(panel), static_cast<std::size_t>(entry));
    QString text = panel == 2 ? format::si(figure, QStringLiteral("J"))
        : figure < 1e5        ? format::number(figure, 3)
                              : format::si(figure, QString());
    const double base = value(static_cast<std::size_t>(panel), 0);
    if (entry > 0 && base > 0.0)
        text += u'\n' + tr("%1×").arg(format::number(figure / base, 2));
    return text;
}

void LatencyPlot::rebuild()
{
    canvas()->clearPlottables();
    for (int i = canvas()->itemCount() - 1; i >= 0; --i) {
        if (canvas()->item(i)->clipToAxisRect())  // not the base's empty text
            canvas()->removeItem(i);
    }
    const PlotTheme colors = theme();
    for (std::size_t panel = 0; panel < m_panels.size(); ++panel) {
        QCPAxis* keys = m_panels[panel]->axis(QCPAxis::atLeft);
        QCPAxis* values = m_panels[panel]->axis(QCPAxis::atBottom);
        const QSharedPointer<QCPAxisTickerText> labels(new QCPAxisTickerText);
        for (std::size_t i = 0; i < m_data.entries.size(); ++i) {
            const double position = static_cast<double>(i);
            labels->addTick(position, m_data.entries[i].label);
            auto* bar = new QCPBars(keys, values);
            bar->setWidth(0.6);
            bar->setPen(Qt::NoPen);
            bar->setBrush(i == 0 ? colors.original : colors.accent);
            bar->addData(position, value(panel, i));
            bar->setSelectable(QCP::stNone);
            auto* text = new QCPItemText(canvas());
            text->setClipAxisRect(m_panels[panel]);
            text->setClipToAxisRect(true);
            text->position->setAxisRect(m_panels[panel]);
            text->position->setAxes(values, keys);
            text->position->setCoords(value(panel, i), position);
            text->setPositionAlignment(Qt::AlignLeft | Qt::AlignVCenter);
            text->setPadding(QMargins(6, 0, 0, 0));
            text->setTextAlignment(Qt::AlignLeft);
            text->setText(barText(static_cast<int>(panel), static_cast<int>(i)));
            text->setFont(tabularFont(scaledFont(font(), 0.9)));
            text->setColor(colors.text);
            text->setSelectable(false);
        }
        keys->setTicker(labels);
    }
}

PlotTable LatencyPlot::table() const
{
    PlotTable table;
    table.header << tr("What") << tr("Prefill (tokens/s)") << tr("Decode (tokens/s)") << tr("Energy (J/token)");
    for (const auto& entry : m_data.entries)
        table.rows << QVariantList {
            entry.label, entry.prefillTokensPerSecond, entry.decodeTokensPerSecond, entry.energyPerToken};
    return table;
}

QString LatencyPlot::hoverText(QPointF position) const
{
    for (const QCPAxisRect* panel : m_panels) {
        if (!panel->rect().contains(position.toPoint()))
            continue;
        const auto index = std::lround(panel->axis(QCPAxis::atLeft)->pixelToCoord(position.y()));
        if (index < 0 || index >= static_cast<long>(m_data.entries.size()))
            return {};
        const auto& entry = m_data.entries[static_cast<std::size_t>(index)];
        return tr("<b>%1</b> (projected)<br>Prefill %2 tokens/s<br>Decode %3 tokens/s<br>%4 per token")
            .arg(entry.label.toHtmlEscaped(), format::number(entry.prefillTokensPerSecond, 4),
                format::number(entry.decodeTokensPerSecond, 4), format::si(entry.energyPerToken, QStringLiteral("J")));
    }
    return {};
}

void LatencyPlot::applyTheme()
{
    rebuild();
    Plot::applyTheme();
    for (QCPAxisRect* panel : m_panels) {
        panel->axis(QCPAxis::atLeft)->setTickLength(0, 0);
        panel->axis(QCPAxis::atLeft)->setTickLabelColor(theme().text);
    }
}

void LatencyPlot::resetView()
{
    for (std::size_t panel = 0; panel < m_panels.size(); ++panel) {
        double highest = 0.0;
        for (std::size_t i = 0; i < m_data.entries.size(); ++i)
            highest = std::max(highest, value(panel, i));
        // Room for the text at the end of the longest bar.
        m_panels[panel]->axis(QCPAxis::atBottom)->setRange(0.0, highest > 0.0 ? highest * 3.2 : 1.0);
        m_panels[panel]
            ->axis(QCPAxis::atLeft)
            ->setRange(-0.6, std::max<double>(1.0, static_cast<double>(m_data.entries.size())) - 0.4);
    }
}
