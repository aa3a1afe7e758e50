// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/size_by_role_plot.h"

#include "widgets/plots/plot_style.h"
#include "widgets/plots/tickers.h"
#include "widgets/support/format_text.h"
#include "widgets/support/qcustomplot.h"
#include "widgets/theme/fonts.h"

#include <algorithm>
#include <map>

namespace {

/// Places of the two bars on the vertical axis.
constexpr double storedPlace = 1.0;
constexpr double recipePlace = 0.0;
constexpr double barWidth = 0.62;

std::uint64_t total(const std::vector<RoleSize>& sizes, std::uint64_t RoleSize::*member)
{
    std::uint64_t sum = 0;
    for (const auto& size : sizes)
        sum += size.*member;
    return sum;
}

}  // namespace

std::vector<RoleSize> sizesByRole(const quantloupe::ModelCatalog& catalog, const quantloupe::Plan& plan)
{
    std::map<quantloupe::TensorRole, RoleSize> sums;
    for (const auto& planned : plan.tensors) {
        const auto& tensor = catalog.tensors[planned.tensor];
        auto& sum = sums[tensor.parts.role];
        sum.role = tensor.parts.role;
        sum.storedBytes += tensor.bytes;
        sum.recipeBytes += planned.bytes;
        ++sum.tensors;
    }
    std::vector<RoleSize> result;
    for (const auto role : rolesInOrder())
        if (const auto found = sums.find(role); found != sums.end())
            result.push_back(found->second);
    return result;
}

SizeByRolePlot::SizeByRolePlot(QWidget* parent)
    : Plot(parent)
{
    setDescription(tr("Size by role"),
        tr("Bytes of the model's tensors by what they do, as stored and under the current recipe. Scales, zero points "
           "and padding are included."));
    setEmptyText(tr("Open a model to see where its bytes are"));
    auto* canvas = this->canvas();
    canvas->xAxis->setTicker(QSharedPointer<ByteTicker>::create());
    canvas->xAxis->setLabel(tr("Size"));
    canvas->yAxis->setSubTicks(false);
    canvas->yAxis->grid()->setVisible(false);
    canvas->axisRect()->setRangeZoom(Qt::Horizontal);
    canvas->axisRect()->setRangeDrag(Qt::Horizontal);
    placeLegendAbove(canvas, 6);
}

void SizeByRolePlot::setSizes(std::vector<RoleSize> sizes, bool withRecipe)
{
    m_sizes = std::move(sizes);
    m_withRecipe = withRecipe;
    auto* canvas = this->canvas();
    auto names = QSharedPointer<QCPAxisTickerText>::create();
    names->addTick(storedPlace, tr("As stored"));
    if (withRecipe)
        names->addTick(recipePlace, tr("Recipe"));
    canvas->yAxis->setTicker(names);
    canvas->clearPlottables();
    for (int i = canvas->itemCount() - 1; i >= 0; --i)
        if (canvas->item(i)->objectName() == QLatin1String("total"))
            canvas->removeItem(i);
    QCPBars* below = nullptr;
    for (const auto& size : m_sizes) {
        auto* bars = new QCPBars(canvas->yAxis, canvas->xAxis);
        bars->setWidth(barWidth);
        bars->setName(roleText(size.role));
        bars->setStackingGap(1);
        if (withRecipe)
            bars->addData(recipePlace, static_cast<double>(size.recipeBytes));
        bars->addData(storedPlace, static_cast<double>(size.storedBytes));
        if (below)
            bars->moveAbove(below);
        below = bars;
        bars->addToLegend();
    }
    for (const bool stored : {true, false}) {
        if (!stored && !withRecipe)
            continue;
        const auto bytes = total(m_sizes, stored ? &RoleSize::storedBytes : &RoleSize::recipeBytes);
        auto* label = new QCPItemText(canvas);
        label->setObjectName(QStringLiteral("total"));
        label->setText(format::bytes(bytes));
        label->setPositionAlignment(Qt::AlignLeft | Qt::AlignVCenter);
        label->setPadding(QMargins(6, 0, 0, 0));
        label->position->setCoords(static_cast<double>(bytes), stored ? storedPlace : recipePlace);
    }
    setHasData(!m_sizes.empty() && largestTotal() > 0.0);
    resetView();
    applyTheme();
}

double SizeByRolePlot::largestTotal() const
{
    return static_cast<double>(
        std::max(total(m_sizes, &RoleSize::storedBytes), total(m_sizes, &RoleSize::recipeBytes)));
}

PlotTable SizeByRolePlot::table() const
{
    PlotTable table {{tr("Role"), tr("Tensors"), tr("As stored (bytes)")}, {}};
    if (m_withRecipe)
        table.header << tr("Recipe (bytes)");
    for (const auto& size : m_sizes) {
        QVariantList row {
            roleText(size.role), static_cast<qulonglong>(size.tensors), static_cast<qulonglong>(size.storedBytes)};
        if (m_withRecipe)
            row << static_cast<qulonglong>(size.recipeBytes);
        table.rows << row;
    }
    return table;
}

const RoleSize* SizeByRolePlot::sizeAt(QPointF position, bool* stored) const
{
    const double place = canvas()->yAxis->pixelToCoord(position.y());
    *stored = place > 0.5;
    if (std::abs(place - (*stored ? storedPlace : recipePlace)) > barWidth / 2)
        return nullptr;
    double rest = canvas()->xAxis->pixelToCoord(position.x());
    if (rest < 0.0)
        return nullptr;
    for (const auto& size : m_sizes) {
        rest -= static_cast<double>(*stored ? size.storedBytes : size.recipeBytes);
        if (rest < 0.0)
            return &size;
    }
    return nullptr;
}

QString SizeByRolePlot::hoverText(QPointF position) const
{
    bool stored = false;
    const auto* size = sizeAt(position, &stored);
    if (!size)
        return {};
    const auto bytes = stored ? size->storedBytes : size->recipeBytes;
    const auto sum = total(m_sizes, stored ? &RoleSize::storedBytes : &RoleSize::recipeBytes);
    return tr("%1, tensors: %2\n%3, %4 of the model\nAs stored %5, recipe %6")
        .arg(roleText(size->role), QLocale().toString(static_cast<qulonglong>(size->tensors)), format::bytes(bytes),
            format::percent(static_cast<double>(bytes) / static_cast<double>(sum)), format::bytes(size->storedBytes),
            format::bytes(size->recipeBytes));
}

void SizeByRolePlot::clicked(QPointF position)
{
    bool stored = false;
    if (const auto* size = sizeAt(position, &stored))
        Q_EMIT roleClicked(size->role);
}

void SizeByRolePlot::resetView()
{
    // Room at the right for the totals.
    canvas()->xAxis->setRange(0.0, std::max(1.0, largestTotal()) * 1.16);
    canvas()->yAxis->setRange(m_withRecipe ? -0.55 : 0.45, 1.55);
}

void SizeByRolePlot::applyTheme()
{
    Plot::applyTheme();
    const auto colors = theme();
    auto* canvas = this->canvas();
    for (int i = 0; i < canvas->plottableCount(); ++i) {
        const auto color = roleColor(m_sizes[static_cast<std::size_t>(i)].role, colors.dark);
        canvas->plottable(i)->setPen(Qt::NoPen);
        canvas->plottable(i)->setBrush(color);
    }
    for (int i = 0; i < canvas->itemCount(); ++i)
        if (auto* label = qobject_cast<QCPItemText*>(canvas->item(i));
            label && label->objectName() == QLatin1String("total")) {
            label->setColor(colors.text);
            label->setFont(tabularFont(scaledFont(font(), 0.95, true)));
        }
}
