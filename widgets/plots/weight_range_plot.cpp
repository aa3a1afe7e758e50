// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/weight_range_plot.h"

#include "widgets/plots/plot_style.h"
#include "widgets/plots/tickers.h"
#include "widgets/support/format_text.h"
#include "widgets/support/qcustomplot.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace {

const QLatin1String selectionMarker("selection");

/// Labels each block at its first tensor, as many blocks as there is room for.
class BlockTicker final : public QCPAxisTicker
{
public:
    explicit BlockTicker(const std::vector<WeightRange>& ranges)
    {
        for (std::size_t i = 0; i < ranges.size(); ++i)
            if (ranges[i].block && (i == 0 || ranges[i - 1].block != ranges[i].block))
                m_starts.insert(static_cast<double>(i), *ranges[i].block);
    }

protected:
    QVector<double> createTickVector(double, const QCPRange& range) override
    {
        QVector<double> inside;
        for (auto it = m_starts.cbegin(); it != m_starts.cend(); ++it)
            if (range.contains(it.key()))
                inside << it.key();
        // 12 labels fit on the narrowest page.
        const auto step = std::max<qsizetype>(1, (inside.size() + 11) / 12);
        QVector<double> ticks;
        for (qsizetype i = 0; i < inside.size(); i += step)
            ticks << inside[i];
        return ticks;
    }
    int getSubTickCount(double) override { return 0; }
    QString getTickLabel(double tick, const QLocale& locale, QChar, int) override
    {
        return locale.toString(m_starts.value(tick));
    }

private:
    QMap<double, unsigned> m_starts;
};

}  // namespace

std::vector<WeightRange> weightRanges(const quantloupe::ModelCatalog& catalog, const quantloupe::StudySnapshot& study)
{
    std::vector<WeightRange> before, inside, after;
    for (const auto& tensor : catalog.tensors) {
        const auto known = study.weights.find(tensor.name);
        if (!tensor.quantizable || known == study.weights.end())
            continue;
        const auto& weights = *known->second;
        WeightRange range {QString::fromStdString(tensor.name), tensor.parts.role, tensor.parts.block, weights.minimum,
            weights.maximum, weights.percentile1, weights.percentile99};
        const bool embeds =
            range.role == quantloupe::TensorRole::Embedding || range.role == quantloupe::TensorRole::Position;
        (range.block ? inside : embeds ? before : after).push_back(std::move(range));
    }
    std::stable_sort(
        inside.begin(), inside.end(), [](const WeightRange& a, const WeightRange& b) { return *a.block < *b.block; });
    before.insert(before.end(), inside.begin(), inside.end());
    before.insert(before.end(), after.begin(), after.end());
    return before;
}

WeightRangePlot::WeightRangePlot(QWidget* parent)
    : Plot(parent)
{
    setDescription(tr("Weight ranges over depth"),
        tr("Per tensor: whiskers from the smallest to the largest weight, a box from the 1st to the 99th percentile. A "
           "long whisker over a short box means outliers, which coarse grids pay for."));
    setEmptyText(tr("Weight ranges appear here as tensors are measured"));
    canvas()->xAxis->setLabel(tr("Block"));
    canvas()->yAxis->setLabel(tr("Weight"));
    canvas()->yAxis->setTicker(QSharedPointer<SiTicker>::create());
    canvas()->xAxis->grid()->setVisible(false);
    placeLegendAbove(canvas(), 7);
}

void WeightRangePlot::setRanges(std::vector<WeightRange> ranges)
{
    if (ranges == m_ranges && hasData())
        return;
    const bool sameTensors = std::equal(ranges.begin(), ranges.end(), m_ranges.begin(), m_ranges.end(),
        [](const WeightRange& a, const WeightRange& b) { return a.tensor == b.tensor; });
    m_ranges = std::move(ranges);
    auto* canvas = this->canvas();
    canvas->clearPlottables();
    m_roles.clear();
    for (const auto role : rolesInOrder()) {
        QCPStatisticalBox* boxes = nullptr;
        for (std::size_t i = 0; i < m_ranges.size(); ++i) {
            const auto& range = m_ranges[i];
            if (range.role != role)
                continue;
            if (!boxes) {
                boxes = new QCPStatisticalBox(canvas->xAxis, canvas->yAxis);
                boxes->setName(roleText(role));
                boxes->setWidth(0.78);
                boxes->setWhiskerWidth(0.0);
                boxes->addToLegend();
                m_roles.push_back(role);
            }
            // The median is not drawn; it has to lie inside the box.
            boxes->addData(static_cast<double>(i), range.minimum, range.percentile1, range.percentile1,
                range.percentile99, range.maximum);
        }
    }
    canvas->xAxis->setTicker(QSharedPointer<BlockTicker>::create(m_ranges));
    setHasData(!m_ranges.empty());
    if (!sameTensors)
        resetView();
    setSelection(m_selection);
    applyTheme();
}

void WeightRangePlot::setSelection(const QStringList& tensors)
{
    m_selection = tensors;
    auto* canvas = this->canvas();
    for (int i = canvas->itemCount() - 1; i >= 0; --i)
        if (canvas->item(i)->objectName() == selectionMarker)
            canvas->removeItem(i);
    for (std::size_t i = 0; i < m_ranges.size(); ++i) {
        if (!tensors.contains(m_ranges[i].tensor))
            continue;
        auto* band = new QCPItemRect(canvas);
        band->setObjectName(selectionMarker);
        band->setLayer(QStringLiteral("grid"));
        band->topLeft->setTypeX(QCPItemPosition::ptPlotCoords);
        band->bottomRight->setTypeX(QCPItemPosition::ptPlotCoords);
        band->topLeft->setTypeY(QCPItemPosition::ptAxisRectRatio);
        band->bottomRight->setTypeY(QCPItemPosition::ptAxisRectRatio);
        band->topLeft->setCoords(static_cast<double>(i) - 0.5, 0.0);
        band->bottomRight->setCoords(static_cast<double>(i) + 0.5, 1.0);
        band->setBrush(theme().accentFill);
        band->setPen(QPen(theme().accent, 1));
    }
    replot();
}

PlotTable WeightRangePlot::table() const
{
    PlotTable table {{tr("Tensor"), tr("Role"), tr("Block"), tr("Minimum"), tr("1st percentile"), tr("99th percentile"),
                         tr("Maximum")},
        {}};
    for (const auto& range : m_ranges)
        table.rows.append({range.tensor, roleText(range.role), range.block ? QVariant(*range.block) : QVariant(),
            range.minimum, range.percentile1, range.percentile99, range.maximum});
    return table;
}

const WeightRange* WeightRangePlot::rangeAt(QPointF position) const
{
    if (!canvas()->axisRect()->rect().contains(position.toPoint()))
        return nullptr;
    const double place = std::round(canvas()->xAxis->pixelToCoord(position.x()));
    if (place < 0.0 || place >= static_cast<double>(m_ranges.size()))
        return nullptr;
    return &m_ranges[static_cast<std::size_t>(place)];
}

QString WeightRangePlot::tensorAt(QPointF position) const
{
    const auto* range = rangeAt(position);
    return range ? range->tensor : QString();
}

QString WeightRangePlot::hoverText(QPointF position) const
{
    const auto* range = rangeAt(position);
    if (!range)
        return {};
    return tr("%1\nall weights %2 … %3\n1–99 % of them %4 … %5")
        .arg(range->tensor, format::number(range->minimum), format::number(range->maximum),
            format::number(range->percentile1), format::number(range->percentile99));
}

void WeightRangePlot::resetView()
{
    canvas()->xAxis->setRange(-0.8, std::max(1.0, static_cast<double>(m_ranges.size())) - 0.2);
    double low = 0.0;
    double high = 0.0;
    for (const auto& range : m_ranges) {
        low = std::min(low, range.minimum);
        high = std::max(high, range.maximum);
    }
    const double margin = std::max((high - low) * 0.05, 1e-9);
    canvas()->yAxis->setRange(low - margin, high + margin);
}

void WeightRangePlot::applyTheme()
{
    Plot::applyTheme();
    const auto colors = theme();
    for (int i = 0; i < canvas()->plottableCount(); ++i) {
        auto* boxes = qobject_cast<QCPStatisticalBox*>(canvas()->plottable(i));
        const auto color = roleColor(m_roles[static_cast<std::size_t>(i)], colors.dark);
        boxes->setPen(QPen(color, 1));
        boxes->setBrush(color);
        boxes->setMedianPen(Qt::NoPen);
        boxes->setWhiskerPen(QPen(color, 1.2, Qt::SolidLine, Qt::FlatCap));
        boxes->setWhiskerBarPen(QPen(color, 1));
        boxes->setOutlierStyle(QCPScatterStyle::ssNone);
    }
    canvas()->yAxis->grid()->setZeroLinePen(QPen(colors.axis, 1));
    for (int i = 0; i < canvas()->itemCount(); ++i)
        if (auto* band = qobject_cast<QCPItemRect*>(canvas()->item(i))) {
            band->setBrush(colors.accentFill);
            band->setPen(QPen(colors.accent, 1));
        }
}
