// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/ranking_plot.h"

#include "widgets/plots/metric_text.h"
#include "widgets/plots/plot_style.h"
#include "widgets/plots/tickers.h"
#include "widgets/support/qcustomplot.h"
#include "widgets/theme/fonts.h"

#include <algorithm>
#include <cmath>
#include <map>

RankingPlot::RankingPlot(QWidget* parent)
    : Plot(parent)
{
    setDescription(tr("Ranking"), tr("The tensors with the largest error under one scheme, worst first."));
    setEmptyText(tr("Analyze the model to rank its tensors"));
    listDownward(canvas());
    canvas()->xAxis->setTicker(QSharedPointer<QCPAxisTicker>(new SiTicker));
    placeLegendAbove(canvas(), 6);
}

void RankingPlot::setData(RankingData content)
{
    m_data = std::move(content);
    rebuild();
    setHasData(!m_data.items.empty());
    resetView();
    replot();
}

void RankingPlot::setSelected(const QStringList& tensors)
{
    m_selected = tensors;
    rebuild();
    replot();
}

void RankingPlot::rebuild()
{
    canvas()->clearPlottables();
    for (int i = canvas()->itemCount() - 1; i >= 0; --i) {
        // The base's empty text is an item too; ours are the ones bound to the axis rectangle.
        if (canvas()->item(i)->clipToAxisRect())
            canvas()->removeItem(i);
    }
    const PlotTheme colors = theme();
    const QSharedPointer<QCPAxisTickerText> labels(new QCPAxisTickerText);
    // One set of bars per role, so that the legend names the colours.
    std::map<quantloupe::TensorRole, QCPBars*> bars;
    for (std::size_t i = 0; i < m_data.items.size(); ++i) {
        const RankingData::Item& item = m_data.items[i];
        const double position = static_cast<double>(i);
        labels->addTick(position, item.label);
        QCPBars*& set = bars[item.role];
        if (!set) {
            set = new QCPBars(canvas()->yAxis, canvas()->xAxis);
            set->setName(roleText(item.role));
            set->setWidth(0.74);
            set->setPen(Qt::NoPen);
            set->setBrush(roleColor(item.role, colors.dark));
            set->setSelectable(QCP::stNone);
        }
        set->addData(position, std::isfinite(item.value) ? item.value : 0.0);
        const bool selected = m_selected.contains(item.tensor);
        auto* value = new QCPItemText(canvas());
        value->setClipToAxisRect(true);
        value->position->setCoords(std::isfinite(item.value) ? item.value : 0.0, position);
        value->setPositionAlignment(Qt::AlignLeft | Qt::AlignVCenter);
        value->setPadding(QMargins(5, 0, 0, 0));
        value->setText(m_data.metric == quantloupe::ErrorMetric::Sqnr ? metricCell(m_data.metric, item.value)
                                                                      : metricValue(m_data.metric, item.value));
        value->setFont(tabularFont(scaledFont(font(), 0.85, selected)));
        value->setColor(selected ? colors.text : colors.mutedText);
        value->setSelectable(false);
        if (selected) {
            auto* frame = new QCPItemRect(canvas());
            frame->setClipToAxisRect(true);
            frame->topLeft->setCoords(0.0, position - 0.46);
            frame->bottomRight->setCoords(std::isfinite(item.value) ? item.value : 0.0, position + 0.46);
            frame->setPen(QPen(colors.text, 2));
            frame->setBrush(Qt::NoBrush);
            frame->setSelectable(false);
        }
    }
    canvas()->yAxis->setTicker(labels);
    canvas()->xAxis->setLabel(m_data.scheme.isEmpty()
            ? metricAxis(m_data.metric)
            : tr("%1 under %2").arg(metricAxis(m_data.metric), m_data.scheme));
}

PlotTable RankingPlot::table() const
{
    PlotTable table;
    table.header << tr("Rank") << tr("Tensor") << tr("Role") << metricAxis(m_data.metric);
    for (std::size_t i = 0; i < m_data.items.size(); ++i)
        table.rows << QVariantList {
            static_cast<int>(i + 1), m_data.items[i].tensor, roleText(m_data.items[i].role), m_data.items[i].value};
    return table;
}

QPointF RankingPlot::barCenter(int item) const
{
    const double value = m_data.items.at(static_cast<std::size_t>(item)).value;
    return {canvas()->xAxis->coordToPixel(value / 2.0), canvas()->yAxis->coordToPixel(item)};
}

int RankingPlot::itemAt(QPointF position) const
{
    return hasData() ? listedRowAt(canvas(), position, m_data.items.size()) : -1;
}

QString RankingPlot::hoverText(QPointF position) const
{
    const int index = itemAt(position);
    if (index < 0)
        return {};
    const auto& item = m_data.items[static_cast<std::size_t>(index)];
    return tr("<b>%1</b><br>%2: %3")
        .arg(item.tensor.toHtmlEscaped(), metricTitle(m_data.metric), metricValue(m_data.metric, item.value));
}

QString RankingPlot::tensorAt(QPointF position) const
{
    const int item = itemAt(position);
    return item < 0 ? QString() : m_data.items[static_cast<std::size_t>(item)].tensor;
}

void RankingPlot::applyTheme()
{
    rebuild();
    Plot::applyTheme();
    canvas()->yAxis->setTickLength(0, 0);
    canvas()->yAxis->setTickLabelColor(theme().text);
}

void RankingPlot::resetView()
{
    double highest = 0.0, lowest = 0.0;
    for (const RankingData::Item& item : m_data.items) {
        if (std::isfinite(item.value)) {
            highest = std::max(highest, item.value);
            lowest = std::min(lowest, item.value);
        }
    }
    // Room at the end of the longest bar for its value.
    canvas()->xAxis->setRange(lowest * 1.22, highest > 0.0 ? highest * 1.22 : 1.0);
    canvas()->yAxis->setRange(-0.6, std::max<double>(1.0, static_cast<double>(m_data.items.size())) - 0.4);
}
