// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/weight_map_plot.h"

#include "widgets/plots/plot_style.h"
#include "widgets/plots/tickers.h"
#include "widgets/support/format_text.h"
#include "widgets/support/qcustomplot.h"
#include "widgets/theme/color_maps.h"

#include <algorithm>
#include <chrono>
#include <cmath>

using quantloupe::MapQuantity;
using namespace std::chrono_literals;

namespace {

/// Long enough for a wheel to come to rest, short enough to feel immediate.
constexpr auto restDelay = 90ms;

bool isSigned(MapQuantity quantity)
{
    return quantity == MapQuantity::Weights || quantity == MapQuantity::Error;
}

/// Where colours end: the 99.8th percentile of the sizes, so that one outlier does not turn the rest grey.
double robustLimit(const std::vector<float>& cells)
{
    std::vector<float> sizes;
    sizes.reserve(cells.size());
    for (const float cell : cells)
        if (std::isfinite(cell))
            sizes.push_back(std::abs(cell));
    if (sizes.empty())
        return 1.0;
    const auto place = sizes.begin() + static_cast<std::ptrdiff_t>(static_cast<double>(sizes.size() - 1) * 0.998);
    std::nth_element(sizes.begin(), place, sizes.end());
    if (*place > 0.0F)
        return static_cast<double>(*place);
    const float largest = *std::max_element(sizes.begin(), sizes.end());
    return largest > 0.0F ? static_cast<double>(largest) : 1.0;
}

QCPRange colorRange(const quantloupe::WeightMap& map)
{
    if (map.quantity == MapQuantity::Codes) {
        float low = std::numeric_limits<float>::max();
        float high = std::numeric_limits<float>::lowest();
        for (const float cell : map.cells)
            if (std::isfinite(cell)) {
                low = std::min(low, cell);
                high = std::max(high, cell);
            }
        if (low >= high)
            return {static_cast<double>(low) - 0.5, static_cast<double>(low) + 0.5};
        return {static_cast<double>(low), static_cast<double>(high)};
    }
    const double limit = robustLimit(map.cells);
    return isSigned(map.quantity) ? QCPRange(-limit, limit) : QCPRange(0.0, limit);
}

}  // namespace

WeightMapPlot::WeightMapPlot(QWidget* parent)
    : Plot(parent)
    , m_colors(new QCPColorMap(canvas()->xAxis, canvas()->yAxis))
    , m_scale(new QCPColorScale(canvas()))
{
    setDescription(tr("Weight map"),
        tr("The matrix as colours, output channels downwards. Where a cell covers several weights it shows the one "
           "largest in size; zoom in to see single weights. Colours end at the 99.8th percentile, so that outliers do "
           "not hide the rest."));
    setEmptyText(tr("Select a layer"));
    auto* canvas = this->canvas();
    canvas->xAxis->setLabel(tr("Input channel (column)"));
    canvas->yAxis->setLabel(tr("Output channel (row)"));
    canvas->yAxis->setRangeReversed(true);
    canvas->xAxis->setTicker(QSharedPointer<IntegerTicker>::create());
    canvas->xAxis->ticker()->setTickCount(3);  // four digits side by side need the room
    canvas->yAxis->setTicker(QSharedPointer<IntegerTicker>::create());
    canvas->xAxis->grid()->setVisible(false);
    canvas->yAxis->grid()->setVisible(false);
    m_colors->setInterpolate(false);
    m_colors->setTightBoundary(false);
    m_colors->setColorScale(m_scale);
    m_scale->setType(QCPAxis::atRight);
    m_scale->setBarWidth(12);
    m_scale->setMinimumMargins(QMargins(6, 0, 10, 0));
    m_scale->setRangeDrag(false);
    m_scale->setRangeZoom(false);
    m_scale->axis()->setTicker(QSharedPointer<SiTicker>::create());
    canvas->plotLayout()->addElement(0, 1, m_scale);
    auto* margins = new QCPMarginGroup(canvas);
    canvas->axisRect()->setMarginGroup(QCP::msTop | QCP::msBottom, margins);
    m_scale->setMarginGroup(QCP::msTop | QCP::msBottom, margins);

    m_rest.setSingleShot(true);
    m_rest.setInterval(restDelay);
    connect(&m_rest, &QTimer::timeout, this, &WeightMapPlot::requestRectangle);
    const auto moved = [this, canvas] {
        if (m_matrix.elements() == 0)
            return;
        // There is nothing beyond the edges to look at.
        const QSignalBlocker blockX(canvas->xAxis);
        const QSignalBlocker blockY(canvas->yAxis);
        canvas->xAxis->setRange(canvas->xAxis->range().bounded(-0.5, static_cast<double>(m_matrix.columns) - 0.5));
        canvas->yAxis->setRange(canvas->yAxis->range().bounded(-0.5, static_cast<double>(m_matrix.rows) - 0.5));
        m_rest.start();
    };
    connect(canvas->xAxis, qOverload<const QCPRange&>(&QCPAxis::rangeChanged), this, moved);
    connect(canvas->yAxis, qOverload<const QCPRange&>(&QCPAxis::rangeChanged), this, moved);
}

void WeightMapPlot::setMap(quantloupe::WeightMap map, quantloupe::MatrixShape matrix)
{
    const bool otherMatrix = !(matrix == m_matrix);
    m_map = std::move(map);
    m_matrix = matrix;
    const bool any =
        m_map.width > 0 && m_map.height > 0 && m_map.cells.size() == std::size_t(m_map.width) * m_map.height;
    if (any)
        fillCells();
    setHasData(any);
    if (otherMatrix) {
        resetView();
        // Setting a map is no movement of the view.
        m_rest.stop();
    }
    applyTheme();
}

void WeightMapPlot::clear()
{
    setMap({}, {});
}

void WeightMapPlot::fillCells()
{
    // A colour map spans its cells' centres, so one row or column alone has no extent: it is drawn twice.
    const int width = std::max(2, static_cast<int>(m_map.width));
    const int height = std::max(2, static_cast<int>(m_map.height));
    const double cellWidth = static_cast<double>(m_map.columns) / width;
    const double cellHeight = static_cast<double>(m_map.rows) / height;
    const double left = static_cast<double>(m_map.firstColumn) - 0.5;
    const double top = static_cast<double>(m_map.firstRow) - 0.5;
    auto* cells = m_colors->data();
    cells->setSize(width, height);
    cells->setKeyRange(QCPRange(left + cellWidth / 2, left + static_cast<double>(m_map.columns) - cellWidth / 2));
    cells->setValueRange(QCPRange(top + cellHeight / 2, top + static_cast<double>(m_map.rows) - cellHeight / 2));
    for (int y = 0; y < height; ++y) {
        const auto row = static_cast<std::size_t>(std::min(y, static_cast<int>(m_map.height) - 1)) * m_map.width;
        for (int x = 0; x < width; ++x)
            cells->setCell(x, y,
                static_cast<double>(
                    m_map.cells[row + static_cast<std::size_t>(std::min(x, static_cast<int>(m_map.width) - 1))]));
    }
    m_scale->setDataRange(colorRange(m_map));
}

QSize WeightMapPlot::rasterSize() const
{
    return canvas()->axisRect()->rect().size().expandedTo({64, 64}) * devicePixelRatioF();
}

void WeightMapPlot::setMatrix(quantloupe::MatrixShape matrix)
{
    m_matrix = matrix;
    resetView();
    replot();
}

void WeightMapPlot::showChannel(bool row, int channel)
{
    constexpr double neighbours = 8.0;  // on either side
    const auto count = static_cast<double>(row ? m_matrix.rows : m_matrix.columns);
    if (m_matrix.elements() == 0 || channel < 0 || channel >= count)
        return;
    resetView();
    auto* axis = row ? canvas()->yAxis : canvas()->xAxis;
    axis->setRange(channel - neighbours - 0.5, channel + neighbours + 0.5);  // what lies beyond an edge is cut off
    replot();
}

WeightMapPlot::View WeightMapPlot::view() const
{
    const auto horizontal = canvas()->xAxis->range();
    const auto vertical = canvas()->yAxis->range();
    // A cell's centre is its index.
    const auto first = [](double low) { return static_cast<quint64>(std::max(0.0, std::floor(low + 0.5))); };
    const auto end = [](double high, std::uint64_t limit) {
        return std::min<quint64>(limit, static_cast<quint64>(std::max(0.0, std::ceil(high + 0.5))));
    };
    View view {.firstRow = first(vertical.lower), .firstColumn = first(horizontal.lower), .rows = 0, .columns = 0};
    const auto endRow = end(vertical.upper, m_matrix.rows);
    const auto endColumn = end(horizontal.upper, m_matrix.columns);
    if (endRow <= view.firstRow || endColumn <= view.firstColumn)
        return {};
    view.rows = endRow - view.firstRow;
    view.columns = endColumn - view.firstColumn;
    return view;
}

void WeightMapPlot::requestRectangle()
{
    if (const auto wanted = view(); wanted.rows > 0)
        Q_EMIT rectangleRequested(wanted.firstRow, wanted.firstColumn, wanted.rows, wanted.columns);
}

PlotTable WeightMapPlot::table() const
{
    PlotTable table {{tr("Row"), tr("Column"), tr("Value")}, {}};
    for (std::size_t y = 0; y < m_map.height; ++y)
        for (std::size_t x = 0; x < m_map.width; ++x)
            table.rows.append({static_cast<qulonglong>(m_map.firstRow + y * m_map.rows / m_map.height),
                static_cast<qulonglong>(m_map.firstColumn + x * m_map.columns / m_map.width),
                static_cast<double>(m_map.cells[y * m_map.width + x])});
    return table;
}

QString WeightMapPlot::hoverText(QPointF position) const
{
    if (!canvas()->axisRect()->rect().contains(position.toPoint()))
        return {};
    const double column =
        std::round(canvas()->xAxis->pixelToCoord(position.x())) - static_cast<double>(m_map.firstColumn);
    const double row = std::round(canvas()->yAxis->pixelToCoord(position.y())) - static_cast<double>(m_map.firstRow);
    if (row < 0.0 || column < 0.0 || row >= static_cast<double>(m_map.rows)
        || column >= static_cast<double>(m_map.columns))
        return {};
    const auto x = static_cast<std::size_t>(column) * m_map.width / m_map.columns;
    const auto y = static_cast<std::size_t>(row) * m_map.height / m_map.rows;
    auto text = tr("row %1, column %2: %3")
                    .arg(QLocale().toString(row + static_cast<double>(m_map.firstRow), 'f', 0),
                        QLocale().toString(column + static_cast<double>(m_map.firstColumn), 'f', 0),
                        format::number(static_cast<double>(m_map.cells[y * m_map.width + x])));
    if (m_map.rows > m_map.height || m_map.columns > m_map.width)
        text += u'\n'
            + tr("the largest of about %1 weights")
                  .arg(format::integer(std::max<std::uint64_t>(
                      1, m_map.rows * m_map.columns / (std::uint64_t(m_map.width) * m_map.height))));
    return text;
}

void WeightMapPlot::resetView()
{
    if (m_matrix.elements() == 0)
        return;
    canvas()->xAxis->setRange(-0.5, static_cast<double>(m_matrix.columns) - 0.5);
    canvas()->yAxis->setRange(-0.5, static_cast<double>(m_matrix.rows) - 0.5);
    m_rest.start();
}

void WeightMapPlot::resizeEvent(QResizeEvent* event)
{
    Plot::resizeEvent(event);
    if (hasData())
        m_rest.start();
}

void WeightMapPlot::applyTheme()
{
    Plot::applyTheme();
    m_scale->setGradient(isSigned(m_map.quantity) ? diverging(theme().dark) : viridis());
}
