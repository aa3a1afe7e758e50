// SPDX-License-Identifier: GPL-3.0-or-later
// What the Layer page shows and when; how it is laid out is in layer_page_layout.cpp.
#include "widgets/pages/layer_page.h"

#include "widgets/docks/scheme_editor.h"
#include "widgets/pages/layer_inspector.h"
#include "widgets/pages/metrics_table.h"
#include "widgets/plots/channel_plot.h"
#include "widgets/plots/error_histogram_plot.h"
#include "widgets/plots/histogram_plot.h"
#include "widgets/plots/occupancy_plot.h"
#include "widgets/plots/small_multiples_plot.h"
#include "widgets/plots/survival_plot.h"
#include "widgets/plots/weight_map_plot.h"
#include "widgets/support/format_text.h"
#include "widgets/workbench/workbench.h"

#include <QCheckBox>
#include <QComboBox>
#include <QEvent>
#include <QHBoxLayout>
#include <QLabel>
#include <QPushButton>
#include <QSignalBlocker>
#include <QStackedWidget>
#include <QToolButton>
#include <QVBoxLayout>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

using namespace std::chrono_literals;
using quantloupe::MapQuantity;
using quantloupe::Scheme;

namespace {

/// A raster finer than this shows nothing more and takes longer to draw.
constexpr int largestRaster = 1024;

QString textOf(const Scheme& scheme)
{
    return QString::fromStdString(scheme.toString());
}

QString factsOf(const quantloupe::CatalogTensor& tensor)
{
    QStringList extents;
    for (const auto extent : tensor.shape)
        extents << QString::number(extent);
    const auto dtype = nameOf(tensor.dtype);
    QStringList facts {roleText(tensor.parts.role), extents.join(QStringLiteral(" × ")),
        QString::fromUtf8(dtype.data(), static_cast<qsizetype>(dtype.size())),
        LayerPage::tr("%1 parameters").arg(format::count(tensor.parameters())), format::bytes(tensor.bytes)};
    if (tensor.parts.block)
        facts.prepend(LayerPage::tr("Block %1").arg(*tensor.parts.block));
    return facts.join(QStringLiteral("  ·  "));
}

/// Root mean square per channel from its error energy.
std::vector<float> rootMeanSquares(const std::vector<float>& energies, std::uint64_t weightsPerChannel)
{
    std::vector<float> result;
    result.reserve(energies.size());
    for (const float energy : energies)
        result.push_back(weightsPerChannel ? std::sqrt(energy / static_cast<float>(weightsPerChannel)) : 0.0F);
    return result;
}

/// Where WeightStatistics begins to call a channel an outlier: three times the median.
double outlierThreshold(std::vector<float> values)
{
    if (values.empty())
        return 0.0;
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return 3.0 * static_cast<double>(*middle);
}

QIcon swatch(const QColor& color)
{
    QPixmap pixmap(12, 12);
    pixmap.fill(color);
    return QIcon(pixmap);
}

}  // namespace

LayerPage::LayerPage(Workbench* workbench, QWidget* parent)
    : QWidget(parent)
    , m_workbench(workbench)
    , m_inspector(new LayerInspector(workbench, this))
    , m_stack(new QStackedWidget)
{
    auto* column = new QVBoxLayout(this);
    column->setContentsMargins({});
    column->addWidget(m_stack);
    makeLayout();

    connect(workbench, &Workbench::modelChanged, this, &LayerPage::showTensor);
    connect(workbench, &Workbench::selectionChanged, this, [this] {
        if (m_workbench->currentTensor() != m_inspector->tensor())
            showTensor();
    });
    connect(workbench, &Workbench::recipeChanged, this, [this] {
        if (m_workbench->schemeOf(m_inspector->tensor()) != m_scheme)
            showScheme();
    });
    connect(workbench, &Workbench::studyChanged, this, [this] {
        showPanels();
        showInputs();
        if (!m_inspector->isLive())
            showInspection();
    });
    connect(m_inspector, &LayerInspector::weightsReady, this, &LayerPage::showWeights);
    connect(m_inspector, &LayerInspector::inspected, this, [this](const Scheme& scheme) {
        if (scheme == m_scheme || std::find(m_pinned.begin(), m_pinned.end(), scheme) != m_pinned.end())
            showInspection();
    });
    connect(m_inspector, &LayerInspector::previewed, this, [this](const Scheme& scheme) {
        if (scheme == m_scheme)
            showInspection();
    });
    connect(m_inspector, &LayerInspector::mapReady, this, [this](const quantloupe::WeightMap& map, bool isPreview) {
        m_slowMap.stop();
        m_mapNote->setText(isPreview ? tr("Preview") : QString());
        m_map->setMap(map, m_inspector->matrix());
    });
    connect(m_inspector, &LayerInspector::failed, this, [this](const QString& reason) {
        m_slow.stop();
        m_slowMap.stop();
        m_mapNote->clear();
        say(reason);
        if (!measurement()) {
            m_errors->setEmptyText(reason);
            m_errors->clear();
        }
    });

    connect(m_editor, &SchemeEditor::edited, this, [this](const Scheme& scheme) { edit(scheme); });
    connect(m_keep, &QCheckBox::clicked, this,
        [this](bool keep) { edit(keep ? std::nullopt : std::optional(m_editor->scheme())); });
    connect(m_pin, &QPushButton::clicked, this, &LayerPage::pin);
    connect(m_mapQuantity, &QComboBox::currentIndexChanged, this, &LayerPage::drawMap);
    connect(m_map, &WeightMapPlot::rectangleRequested, this, &LayerPage::drawMap);
    connect(m_channelSide, &QComboBox::currentIndexChanged, this, &LayerPage::showChannels);
    connect(m_channelQuantity, &QComboBox::currentIndexChanged, this, &LayerPage::showChannels);
    connect(m_inputOrder, &QComboBox::currentIndexChanged, this, &LayerPage::showInputs);
    connect(m_panels, &SmallMultiplesPlot::schemeClicked, this, [this](const QString& text) {
        if (const auto scheme = Scheme::parse(text.toStdString()))
            edit(*scheme);
    });
    for (auto* timer : {&m_slow, &m_slowMap}) {
        timer->setSingleShot(true);
        timer->setInterval(250ms);
    }
    connect(&m_slowMap, &QTimer::timeout, this, [this] { m_mapNote->setText(tr("Computing…")); });
    connect(&m_slow, &QTimer::timeout, this, [this] { say(tr("Computing…")); });
}

void LayerPage::showEvent(QShowEvent* event)
{
    QWidget::showEvent(event);
    if (m_stale)
        showTensor();
}

void LayerPage::changeEvent(QEvent* event)
{
    if (event->type() == QEvent::PaletteChange)
        showPins();
    QWidget::changeEvent(event);
}

void LayerPage::say(const QString& status)
{
    m_status->setText(status);
    m_status->setVisible(!status.isEmpty());  // without one the facts beside it take the line
}

void LayerPage::showTensor()
{
    // A hidden page computes nothing; it catches up when it is shown.
    if (!isVisible()) {
        m_stale = true;
        return;
    }
    m_stale = false;
    m_viewIsNew = true;
    const auto name = m_workbench->currentTensor();
    const auto* tensor = m_workbench->tensor(name);
    m_stack->setCurrentIndex(tensor ? 1 : 0);
    say({});
    if (!tensor) {
        m_inspector->setTensor({});
        return;
    }
    m_name->setText(name);
    m_facts->setText(factsOf(*tensor));
    m_editor->setEnabled(tensor->quantizable);
    m_keep->setEnabled(tensor->quantizable);
    m_map->setEmptyText(m_workbench->model() ? tr("Reading the weights…")
                                             : tr("Only the study is open: the map needs the model's weights"));
    if (!m_workbench->model())
        m_map->clear();
    m_map->setMatrix(tensor->matrix);
    m_scheme = m_workbench->schemeOf(name);
    m_inspector->setTensor(name);
    if (!m_inspector->weights()) {
        m_histogram->setEmptyText(m_inspector->isLive() ? tr("Reading the weights…") : tr("Not in this study"));
        m_survival->setEmptyText(m_inspector->isLive() ? tr("Reading the weights…") : tr("Not in this study"));
        m_histogram->clear();
        m_survival->setSurvival({});
        m_channels->clear();
        m_slow.start();
    }
    showScheme();
    showPanels();
    showInputs();
}

void LayerPage::showScheme()
{
    if (!isVisible()) {
        m_stale = true;
        return;
    }
    m_scheme = m_workbench->schemeOf(m_inspector->tensor());
    if (m_scheme)
        m_editor->setScheme(*m_scheme);
    m_keep->setChecked(!m_scheme);
    m_errors->setEmptyText(m_scheme ? tr("Computing…") : tr("Kept as stored: there is no error"));
    m_occupancy->setEmptyText(
        m_scheme ? tr("Shown for formats of up to 256 levels") : tr("Kept as stored: there are no codes"));
    if (m_scheme && m_inspector->isLive()) {
        m_slow.start();
        m_inspector->inspect(*m_scheme);
        m_inspector->inspectBeside(m_pinned);
    }
    if (!m_scheme || !m_inspector->isLive() || !m_inspector->find(*m_scheme))
        showInspection();
    showPanels();
    showPins();
    drawMap();
}

void LayerPage::showWeights()
{
    const auto weights = m_inspector->weights();
    if (!weights)
        return;
    m_slow.stop();
    say({});
    m_survival->setSurvival(weights->survival);
    showInspection();
    drawMap();
}

const quantloupe::SchemeMeasurement* LayerPage::measurement() const
{
    if (!m_scheme)
        return nullptr;
    if (const auto inspection = m_inspector->find(*m_scheme))
        return &inspection->measurement;
    if (const auto preview = m_inspector->preview(*m_scheme))
        return &preview->inspection.measurement;
    return m_workbench->study()->find(m_inspector->tensor().toStdString(), m_scheme->toString());
}

void LayerPage::showInspection()
{
    const auto weights = m_inspector->weights();
    const auto exact = m_scheme ? m_inspector->find(*m_scheme) : nullptr;
    const auto preview = m_scheme && !exact ? m_inspector->preview(*m_scheme) : nullptr;
    const auto* inspection = exact ? exact.get() : preview ? &preview->inspection : nullptr;
    const auto* measured = measurement();
    // While the next scheme is computed the last one's curves stay: no flicker under a moving control.
    const bool waiting = m_scheme && m_inspector->isLive() && !inspection && !m_viewIsNew;
    if (waiting)
        return;
    m_slow.stop();
    if (preview)
        say(tr("Preview: %1 of %2 rows")
                .arg(format::integer(preview->rows), format::integer(m_inspector->matrix().rows)));
    else if (exact || !m_scheme)
        say({});

    WeightHistogramData histogram;
    std::vector<NamedHistogram> pinnedErrors;
    const quantloupe::SchemeMeasurement* lastPinned = nullptr;
    if (weights)
        histogram.original = weights->histogram;
    if (m_scheme)
        histogram.scheme = textOf(*m_scheme);
    if (inspection) {
        histogram.quantized = inspection->quantizedHistogram;
        if (inspection->levelsShown)
            histogram.levels = inspection->levels;
    }
    for (const auto& scheme : m_pinned) {
        const auto pinned = m_inspector->find(scheme);
        if (!pinned)
            continue;
        histogram.pinned.push_back({textOf(scheme), pinned->quantizedHistogram});
        pinnedErrors.push_back({textOf(scheme), pinned->measurement.errorHistogram});
        lastPinned = &pinned->measurement;
    }
    m_histogram->setData(std::move(histogram), !m_viewIsNew);
    if (measured)
        m_errors->setData({textOf(*m_scheme), measured->errorHistogram}, std::move(pinnedErrors));
    else
        m_errors->clear();
    if (inspection)
        m_occupancy->setOccupancy(inspection->occupancy, inspection->entropyBits,
            inspection->levelsShown ? inspection->levels : std::vector<float>());
    else
        m_occupancy->setOccupancy({}, 0.0);
    m_metrics->setFigures({.tensor = m_workbench->tensor(m_inspector->tensor()),
        .weights = weights.get(),
        .current = measured,
        .inspection = inspection,
        .isPreview = preview != nullptr,
        .pinned = lastPinned,
        .pinnedName = m_pinned.empty() ? QString() : textOf(m_pinned.back())});
    if (weights && (inspection || !m_scheme || !m_inspector->isLive()))
        m_viewIsNew = false;
    m_pin->setEnabled(exact && m_pinned.size() < mostPinned
        && std::find(m_pinned.begin(), m_pinned.end(), *m_scheme) == m_pinned.end());
    showChannels();
}

void LayerPage::showChannels()
{
    const auto weights = m_inspector->weights();
    if (!weights) {
        m_channels->clear();
        return;
    }
    ChannelProfile profile;
    profile.rows = m_channelSide->currentIndex() == 1;
    const auto matrix = m_inspector->matrix();
    if (m_channelQuantity->currentIndex() == 0) {
        profile.quantity = tr("Largest |w|");
        profile.values = profile.rows ? weights->rowAbsMax : weights->columnAbsMax;
        profile.outliers = profile.rows ? weights->outlierRows : weights->outlierColumns;
        profile.threshold = profile.outliers.empty() ? 0.0 : outlierThreshold(profile.values);
    } else {
        profile.quantity = tr("RMS error");
        if (const auto* measured = measurement())
            profile.values = rootMeanSquares(profile.rows ? measured->rowErrorEnergy : measured->columnErrorEnergy,
                profile.rows ? matrix.columns : matrix.rows);
        m_channels->setEmptyText(m_scheme ? tr("Computing…") : tr("Kept as stored: there is no error"));
    }
    m_channels->setProfile(std::move(profile));
}

void LayerPage::showPanels()
{
    if (!isVisible() || m_inspector->tensor().isEmpty())
        return;
    std::vector<SchemePanel> panels;
    const auto study = m_workbench->study();
    for (const auto& scheme : m_workbench->sweep())
        if (const auto* known = study->find(m_inspector->tensor().toStdString(), scheme.toString()))
            panels.push_back({textOf(scheme), known->errorHistogram, known->error.sqnrDb(), known->bitsPerWeight,
                scheme == m_scheme});
    std::stable_sort(panels.begin(), panels.end(),
        [](const SchemePanel& a, const SchemePanel& b) { return a.bitsPerWeight < b.bitsPerWeight; });
    m_panels->setPanels(std::move(panels));
}

void LayerPage::drawMap()
{
    if (!isVisible() || !m_inspector->isLive())
        return;
    auto quantity = static_cast<MapQuantity>(m_mapQuantity->currentData().toInt());
    if (!m_scheme)
        quantity = MapQuantity::Weights;
    const auto view = m_map->view();
    const auto raster = m_map->rasterSize().boundedTo({largestRaster, largestRaster});
    m_inspector->drawMap({.quantity = quantity,
        .scheme = quantity == MapQuantity::Weights ? std::nullopt : m_scheme,
        .firstRow = view.firstRow,
        .firstColumn = view.firstColumn,
        .rows = view.rows,
        .columns = view.columns,
        .maxHeight = static_cast<std::uint32_t>(raster.height()),
        .maxWidth = static_cast<std::uint32_t>(raster.width())});
    if (m_inspector->isDrawing())
        m_slowMap.start();
}

void LayerPage::edit(const std::optional<Scheme>& scheme)
{
    // A multiple selection is edited as one.
    QStringList names;
    for (const auto& name : m_workbench->selection())
        if (const auto* tensor = m_workbench->tensor(name); tensor && tensor->quantizable)
            names << name;
    if (!names.isEmpty())
        m_workbench->setScheme(names, scheme);
}

void LayerPage::pin()
{
    if (!m_scheme || m_pinned.size() >= mostPinned
        || std::find(m_pinned.begin(), m_pinned.end(), *m_scheme) != m_pinned.end())
        return;
    m_pinned.push_back(*m_scheme);
    showPins();
    showInspection();
}

void LayerPage::unpin(const Scheme& scheme)
{
    std::erase(m_pinned, scheme);
    showPins();
    showInspection();
}

void LayerPage::showPins()
{
    while (auto* item = m_pinLine->takeAt(0)) {
        // Later: the button may be the one that was clicked.
        if (item->widget())
            item->widget()->deleteLater();
        delete item;
    }
    const auto colors = PlotTheme::of(palette());
    for (std::size_t i = 0; i < m_pinned.size(); ++i) {
        const auto scheme = m_pinned[i];
        auto* button = new QToolButton;
        button->setText(textOf(scheme) + QStringLiteral("  ×"));
        button->setIcon(swatch(colors.series[i % colors.series.size()]));
        button->setToolButtonStyle(Qt::ToolButtonTextBesideIcon);
        button->setAutoRaise(true);
        button->setToolTip(tr("Unpin %1").arg(textOf(scheme)));
        button->setAccessibleName(button->toolTip());
        connect(button, &QToolButton::clicked, this, [this, scheme] { unpin(scheme); });
        m_pinLine->addWidget(button);
    }
    m_pinLine->addStretch();
    m_pins->setVisible(!m_pinned.empty());
}
