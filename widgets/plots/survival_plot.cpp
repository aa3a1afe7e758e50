// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/survival_plot.h"

#include "widgets/plots/plot_style.h"
#include "widgets/plots/tickers.h"
#include "widgets/support/format_text.h"
#include "widgets/support/qcustomplot.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace {

constexpr double sigmaStep = 0.25;

}  // namespace

double SurvivalPlot::normalSurvival(double sigmas)
{
    return std::erfc(sigmas / std::numbers::sqrt2);
}

SurvivalPlot::SurvivalPlot(QWidget* parent)
    : Plot(parent)
{
    setDescription(tr("Outlier distribution"),
        tr("Share of weights farther from the mean than so many standard deviations, on a logarithmic scale. Above the "
           "dashed line of the normal distribution the tails are heavy: a scale that covers them wastes levels on few "
           "weights."));
    setEmptyText(tr("Select a layer"));
    auto* canvas = this->canvas();
    canvas->xAxis->setLabel(tr("Distance from the mean (σ)"));
    canvas->xAxis->setTicker(QSharedPointer<SiTicker>::create());
    canvas->yAxis->setLabel(tr("Share of weights beyond"));
    canvas->yAxis->setScaleType(QCPAxis::stLogarithmic);
    canvas->yAxis->setTicker(QSharedPointer<DecadeTicker>::create());
    canvas->addGraph()->setName(tr("Weights"));
    canvas->addGraph()->setName(tr("Normal distribution"));
    for (int i = 0; i < 2; ++i)
        canvas->graph(i)->addToLegend();
    placeLegendAbove(canvas, 2);
}

void SurvivalPlot::setSurvival(std::vector<double> survival)
{
    m_survival = std::move(survival);
    QVector<double> sigmas, shares, references;
    for (std::size_t i = 0; i < m_survival.size(); ++i) {
        const double sigma = sigmaStep * static_cast<double>(i);
        references << normalSurvival(sigma);
        sigmas << sigma;
        // Zero has no place on a logarithmic axis; a gap ends the line.
        shares << (m_survival[i] > 0.0 ? m_survival[i] : std::numeric_limits<double>::quiet_NaN());
    }
    canvas()->graph(0)->setData(sigmas, shares, true);
    canvas()->graph(1)->setData(sigmas, references, true);
    setHasData(std::any_of(m_survival.begin(), m_survival.end(), [](double share) { return share > 0.0; }));
    resetView();
    replot();
}

PlotTable SurvivalPlot::table() const
{
    PlotTable table {{tr("Distance (σ)"), tr("Share of weights"), tr("Normal distribution")}, {}};
    for (std::size_t i = 0; i < m_survival.size(); ++i) {
        const double sigma = sigmaStep * static_cast<double>(i);
        table.rows.append({sigma, m_survival[i], normalSurvival(sigma)});
    }
    return table;
}

QString SurvivalPlot::hoverText(QPointF position) const
{
    if (!canvas()->axisRect()->rect().contains(position.toPoint()))
        return {};
    const double index = std::round(canvas()->xAxis->pixelToCoord(position.x()) / sigmaStep);
    if (index < 0.0 || index >= static_cast<double>(m_survival.size()))
        return {};
    const double sigma = index * sigmaStep;
    return tr("beyond %1 σ: %2 of the weights\nnormal distribution: %3")
        .arg(QLocale().toString(sigma), format::percent(m_survival[static_cast<std::size_t>(index)]),
            format::percent(normalSurvival(sigma)));
}

void SurvivalPlot::resetView()
{
    double smallest = 1.0;
    std::size_t last = 0;
    for (std::size_t i = 0; i < m_survival.size(); ++i)
        if (m_survival[i] > 0.0) {
            smallest = std::min(smallest, m_survival[i]);
            last = i;
        }
    // The reference needs about 6 σ to be recognised.
    canvas()->xAxis->setRange(0.0, std::max(6.0, sigmaStep * static_cast<double>(last + 1)));
    canvas()->yAxis->setRange(std::pow(10.0, std::floor(std::log10(smallest) - 0.3)), 1.6);
}

void SurvivalPlot::applyTheme()
{
    Plot::applyTheme();
    const auto colors = theme();
    canvas()->graph(0)->setPen(QPen(colors.accent, 2));
    canvas()->graph(1)->setPen(QPen(colors.reference, 1.2, Qt::DashLine));
}
