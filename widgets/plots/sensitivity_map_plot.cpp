// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/sensitivity_map_plot.h"

#include "widgets/plots/heat_cells.h"
#include "widgets/plots/metric_text.h"
#include "widgets/plots/tickers.h"
#include "widgets/theme/color_maps.h"

#include <QMenu>

#include <algorithm>
#include <cmath>
#include <limits>

namespace {

/// "int3:g32:asym:mse" on up to three short lines, so that columns can be narrow.
QString columnTitle(const QString& scheme)
{
    constexpr qsizetype lineLength = 9;
    QString title;
    qsizetype length = 0;
    for (const QString& part : scheme.split(u':')) {
        if (title.isEmpty()) {
            title = part;
            length = lineLength;  // the format stands alone
        } else if (length + part.size() < lineLength) {
            title += u' ' + part;
            length += part.size() + 1;
        } else {
            title += u'\n' + part;
            length = part.size();
        }
    }
    return title;
}

}  // namespace

SensitivityMapPlot::SensitivityMapPlot(QWidget* parent)
    : Plot(parent)
    , m_cells(new HeatCells(canvas()))
    , m_scale(new QCPColorScale(canvas()))
    , m_rowTicker(new RowTicker(canvas()->yAxis))
{
    canvas()->axisRect()->insetLayout()->remove(canvas()->legend);
    setDescription(tr("Sensitivity map"),
        tr("Error of every tensor under every scheme. Brighter is worse; the ring marks the scheme in the recipe."));
    setEmptyText(tr("Analyze the model to see how schemes compare"));

    // Scheme names belong above their columns, as in a table.
    canvas()->xAxis->setVisible(false);
    canvas()->xAxis2->setVisible(true);
    canvas()->xAxis2->setTickLength(0, 0);
    canvas()->xAxis2->setSubTicks(false);
    canvas()->xAxis2->grid()->setVisible(false);
    canvas()->yAxis->grid()->setVisible(false);
    canvas()->yAxis->setSubTicks(false);
    canvas()->yAxis->setRangeReversed(true);
    canvas()->yAxis->setTicker(m_rowTicker);
    canvas()->axisRect()->setRangeDrag(Qt::Vertical);
    canvas()->axisRect()->setRangeZoom(Qt::Vertical);

    canvas()->plotLayout()->addElement(0, 1, m_scale);
    m_scale->setType(QCPAxis::atRight);
    m_scale->setBarWidth(12);
    auto* margins = new QCPMarginGroup(canvas());
    canvas()->axisRect()->setMarginGroup(QCP::msTop | QCP::msBottom, margins);
    m_scale->setMarginGroup(QCP::msTop | QCP::msBottom, margins);
    m_scale->setRangeDrag(false);
    m_scale->setRangeZoom(false);

    connect(canvas()->yAxis, qOverload<const QCPRange&>(&QCPAxis::rangeChanged), this, [this](const QCPRange& range) {
        const double count = static_cast<double>(m_data.rows.size());
        if (count > 0)
            canvas()->yAxis->setRange(range.bounded(-0.5, count - 0.5));
    });
    connect(canvas(), &QCustomPlot::beforeReplot, this, &SensitivityMapPlot::fitTitles);
    connect(canvas(), &QCustomPlot::mousePress, this, [this](QMouseEvent* event) {
        if (event->button() == Qt::RightButton)
            m_menuCell = cellAt(event->position());
    });
}

SensitivityMapPlot::~SensitivityMapPlot() = default;

void SensitivityMapPlot::setData(SensitivityMapData content)
{
    const bool sameRows = content.rows.size() == m_data.rows.size() && content.schemes == m_data.schemes;
    m_data = std::move(content);
    m_menuCell.reset();
    m_cells->data = &m_data;
    m_rowTicker->data = &m_data;

    m_titlesUpright.reset();
    m_scale->setLabel(metricAxis(m_data.metric));
    updateColors();
    setSelected(m_selected);
    setHasData(!m_data.rows.empty() && !m_data.schemes.isEmpty());
    canvas()->xAxis->setVisible(false);
    // New figures of the same tensors keep the zoom, e.g. while a sweep fills in.
    if (!sameRows)
        resetView();
    replot();
}

void SensitivityMapPlot::layOut(QSize size)
{
    const QRect onScreen = canvas()->viewport();
    canvas()->setViewport(QRect(QPoint(), size));
    for (const auto phase : {QCPLayoutElement::upPreparation, QCPLayoutElement::upMargins, QCPLayoutElement::upLayout})
        canvas()->plotLayout()->update(phase);
    fitTitles();
    canvas()->setViewport(onScreen);
}

void SensitivityMapPlot::fitTitles()
{
    const QCPAxis* axis = canvas()->xAxis2;
    const QFontMetrics metrics(axis->tickLabelFont());
    int widest = 0;
    for (const QString& scheme : m_data.schemes)
        for (const QString& line : columnTitle(scheme).split(u'\n'))
            widest = std::max(widest, metrics.horizontalAdvance(line));
    const auto columns = static_cast<int>(std::max<qsizetype>(1, m_data.schemes.size()));
    const bool upright = widest + metrics.averageCharWidth() <= canvas()->axisRect()->width() / columns;
    if (m_titlesUpright == upright)
        return;
    m_titlesUpright = upright;
    const QSharedPointer<QCPAxisTickerText> titles(new QCPAxisTickerText);
    for (qsizetype i = 0; i < m_data.schemes.size(); ++i)
        titles->addTick(static_cast<double>(i), upright ? columnTitle(m_data.schemes[i]) : m_data.schemes[i]);
    canvas()->xAxis2->setTicker(titles);
    canvas()->xAxis2->setTickLabelRotation(upright ? 0.0 : -90.0);
}

void SensitivityMapPlot::updateColors()
{
    const bool logarithmic = isLogarithmic(m_data.metric);
    double lowest = std::numeric_limits<double>::infinity(), highest = -lowest;
    for (const auto& row : m_data.rows) {
        for (const double value : row.values) {
            if (std::isfinite(value) && (!logarithmic || value > 0.0)) {
                lowest = std::min(lowest, value);
                highest = std::max(highest, value);
            }
        }
    }
    if (lowest > highest) {
        lowest = logarithmic ? 0.1 : 0.0;
        highest = 1.0;
    } else if (lowest == highest) {
        lowest = logarithmic ? lowest / 2.0 : lowest - 1.0;
        highest = logarithmic ? highest * 2.0 : highest + 1.0;
    }
    // Brighter is worse: a map of decibels runs the other way round.
    const bool higher = quantloupe::higherIsBetter(m_data.metric);
    QCPColorGradient gradient = higher ? viridis().inverted() : viridis();
    const QCPRange range(lowest, highest);
    m_scale->setDataScaleType(logarithmic ? QCPAxis::stLogarithmic : QCPAxis::stLinear);
    if (logarithmic)
        m_scale->axis()->setTicker(QSharedPointer<QCPAxisTicker>(new DecadeTicker));
    else
        m_scale->axis()->setTicker(QSharedPointer<QCPAxisTicker>(new QCPAxisTicker));
    m_scale->setGradient(gradient);
    m_scale->setDataRange(range);

    m_cells->colors.clear();
    for (const auto& row : m_data.rows) {
        for (const double value : row.values) {
            if (std::isnan(value))
                m_cells->colors.emplace_back();
            else  // lossless (0, or infinite decibels) lies at the best end
                m_cells->colors.emplace_back(gradient.color(std::clamp(value, lowest, highest), range, logarithmic));
        }
    }
}

void SensitivityMapPlot::setSelected(const QStringList& tensors)
{
    m_selected = tensors;
    m_cells->selected.assign(m_data.rows.size(), false);
    for (std::size_t row = 0; row < m_data.rows.size(); ++row)
        m_cells->selected[row] = tensors.contains(m_data.rows[row].tensor);
    replot();
}

PlotTable SensitivityMapPlot::table() const
{
    PlotTable table;
    table.header << tr("Tensor") << m_data.schemes;
    for (const auto& row : m_data.rows) {
        QVariantList cells {row.tensor};
        for (const double value : row.values)
            cells << value;
        table.rows << cells;
    }
    return table;
}

QPointF SensitivityMapPlot::cellCenter(int row, int column) const
{
    return {canvas()->xAxis->coordToPixel(column), canvas()->yAxis->coordToPixel(row)};
}

std::optional<std::pair<int, int>> SensitivityMapPlot::cellAt(QPointF position) const
{
    if (!hasData() || !canvas()->axisRect()->rect().contains(position.toPoint()))
        return std::nullopt;
    const int row = static_cast<int>(std::lround(canvas()->yAxis->pixelToCoord(position.y())));
    const int column = static_cast<int>(std::lround(canvas()->xAxis->pixelToCoord(position.x())));
    if (row < 0 || row >= static_cast<int>(m_data.rows.size()) || column < 0 || column >= m_data.schemes.size())
        return std::nullopt;
    return std::pair(row, column);
}

QString SensitivityMapPlot::hoverText(QPointF position) const
{
    const auto cell = cellAt(position);
    if (!cell)
        return {};
    const auto& row = m_data.rows[static_cast<std::size_t>(cell->first)];
    const double value = row.values[static_cast<std::size_t>(cell->second)];
    QString text = tr("<b>%1</b><br>%2").arg(row.tensor.toHtmlEscaped(), m_data.schemes[cell->second].toHtmlEscaped());
    text += tr("<br>%1: %2")
                .arg(metricTitle(m_data.metric),
                    std::isnan(value) ? tr("not measured") : metricValue(m_data.metric, value));
    if (row.chosen == cell->second)
        text += tr("<br>in the recipe");
    return text;
}

QString SensitivityMapPlot::tensorAt(QPointF position) const
{
    const auto cell = cellAt(position);
    return cell ? m_data.rows[static_cast<std::size_t>(cell->first)].tensor : QString();
}

void SensitivityMapPlot::extendMenu(QMenu* menu)
{
    if (!m_menuCell || m_menuCell->first >= static_cast<int>(m_data.rows.size()))
        return;
    const QString tensor = m_data.rows[static_cast<std::size_t>(m_menuCell->first)].tensor;
    const QString scheme = m_data.schemes[m_menuCell->second];
    menu->addAction(tr("&Use %1 for this tensor").arg(scheme), this,
        [this, tensor, scheme] { Q_EMIT schemeChosen(tensor, scheme); });
    menu->addAction(tr("&Open in the Layer page"), this, [this, tensor] { Q_EMIT tensorDoubleClicked(tensor); });
}

void SensitivityMapPlot::applyTheme()
{
    Plot::applyTheme();
    m_cells->theme = theme();
    canvas()->yAxis->setTickLength(0, 0);
    canvas()->yAxis->setBasePen(Qt::NoPen);
    canvas()->xAxis2->setBasePen(Qt::NoPen);
    canvas()->xAxis2->setTickLength(0, 0);
    // Ticks without length still leave a dot.
    canvas()->yAxis->setTickPen(Qt::NoPen);
    canvas()->xAxis2->setTickPen(Qt::NoPen);
    canvas()->xAxis2->setTickLabelPadding(4);
    canvas()->xAxis2->setTickLabelColor(theme().text);
    canvas()->yAxis->grid()->setVisible(false);
}

void SensitivityMapPlot::resetView()
{
    const double columns = static_cast<double>(m_data.schemes.size());
    const double rows = static_cast<double>(m_data.rows.size());
    for (QCPAxis* axis : {canvas()->xAxis, canvas()->xAxis2})
        axis->setRange(-0.5 - HeatCells::stripWidth(static_cast<int>(columns)), std::max(columns, 1.0) - 0.5);
    canvas()->yAxis->setRange(-0.5, std::max(rows, 1.0) - 0.5);
}
