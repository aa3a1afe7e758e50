// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/pages/layer_inspector.h"

#include "widgets/workbench/workbench.h"

#include <utility>

using quantloupe::LayerInspection;
using quantloupe::Progress;
using quantloupe::Result;
using quantloupe::Scheme;
using quantloupe::WeightMap;
using quantloupe::WeightStatistics;

namespace {

/// Views of the job list: within one, newer replaces older.
constexpr QLatin1String weightsView("layer/weights");
constexpr QLatin1String inspectionView("layer/inspection");
constexpr QLatin1String besideView("layer/beside");
constexpr QLatin1String mapView("layer/map");
constexpr QLatin1String previewView("layer/preview");
constexpr QLatin1String mapPreviewView("layer/map preview");

/// Schemes kept per tensor: what a hand tries in a row.
constexpr qsizetype mostKept = 32;

QString keyOf(const Scheme& scheme)
{
    return QString::fromStdString(scheme.toString());
}

}  // namespace

/// What a job needs; it keeps the mapped file alive.
struct LayerInspector::Source {
    quantloupe::ModelPointer model;
    std::size_t index = 0;
    std::shared_ptr<const WeightStatistics> weights;

    const quantloupe::ModelTensor& tensor() const { return model->tensors[index]; }
};

LayerInspector::LayerInspector(Workbench* workbench, QObject* parent)
    : QObject(parent)
    , m_workbench(workbench)
{
    m_holdBack.setSingleShot(true);
    m_holdBack.setInterval(previewAfter);
    m_holdBack.setTimerType(Qt::PreciseTimer);
    connect(&m_holdBack, &QTimer::timeout, this, &LayerInspector::showPreview);
    // A tensor of the next model may have the same name.
    connect(workbench, &Workbench::modelChanged, this, [this] { setTensor({}); });
}

std::optional<LayerInspector::Source> LayerInspector::source() const
{
    const auto model = m_workbench->model();
    if (!model)
        return std::nullopt;
    const auto index = model->find(m_tensor.toStdString());
    if (!index)
        return std::nullopt;
    return Source {model, *index, m_weights};
}

bool LayerInspector::isLive() const
{
    return source().has_value();
}

quantloupe::MatrixShape LayerInspector::matrix() const
{
    const auto* tensor = m_workbench->tensor(m_tensor);
    return tensor ? tensor->matrix : quantloupe::MatrixShape {};
}

void LayerInspector::setTensor(const QString& name)
{
    m_tensor = name;
    m_weights.reset();
    m_known.clear();
    m_wanted.reset();
    m_wantedBeside.clear();
    m_wantedMap.reset();
    m_drawnMap.reset();
    m_shown.reset();
    m_sample.reset();
    m_sampledMap.reset();
    for (const auto& view : {weightsView, inspectionView, besideView, mapView, previewView, mapPreviewView})
        m_workbench->jobs()->cancel(view);

    const auto study = m_workbench->study();
    if (const auto known = study->weights.find(name.toStdString()); known != study->weights.end()) {
        m_weights = known->second;
        Q_EMIT weightsReady();
        return;
    }
    const auto source = this->source();
    if (!source)
        return;
    using Shared = std::shared_ptr<const WeightStatistics>;
    m_workbench->jobs()->compute<Shared>(
        this, {tr("Measure %1").arg(name), weightsView, false},
        [source = *source](std::stop_token stop, Progress& progress) -> Result<Shared> {
            auto measured = quantloupe::measureWeights(source.tensor(), stop, progress);
            if (!measured)
                return tl::unexpected(measured.error());
            return std::make_shared<const WeightStatistics>(std::move(*measured));
        },
        [this, name](Result<Shared> weights) {
            if (name != m_tensor)
                return;
            if (!weights) {
                Q_EMIT failed(QString::fromStdString(quantloupe::describe(weights.error())));
                return;
            }
            m_weights = *weights;
            Q_EMIT weightsReady();
            // What was asked for in the meantime; the slots of weightsReady() may already have asked again.
            if (const auto wanted = std::exchange(m_wanted, std::nullopt))
                inspect(*wanted);
            inspectBeside(std::exchange(m_wantedBeside, {}));
            if (m_wantedMap)
                startMap();
        });
}

std::shared_ptr<const LayerInspection> LayerInspector::find(const Scheme& scheme) const
{
    return m_known.value(keyOf(scheme));
}

void LayerInspector::keep(const Scheme& scheme, LayerInspection inspection)
{
    if (m_known.size() >= mostKept)
        m_known.clear();
    m_known.insert(keyOf(scheme), std::make_shared<const LayerInspection>(std::move(inspection)));
    if (scheme == m_shown)
        m_sample.reset();
    Q_EMIT inspected(scheme);
}

std::shared_ptr<const quantloupe::LayerSample> LayerInspector::preview(const Scheme& scheme) const
{
    return m_sample && scheme == m_shown ? m_sample : nullptr;
}

void LayerInspector::inspect(const Scheme& scheme)
{
    m_shown = scheme;
    m_sample.reset();
    for (const auto& view : {previewView, inspectionView})
        m_workbench->jobs()->cancel(view);
    if (find(scheme)) {
        Q_EMIT inspected(scheme);
        return;
    }
    const auto source = this->source();
    if (!source)
        return;
    if (!m_weights) {
        m_wanted = scheme;
        return;
    }
    startPreview(scheme);
}

void LayerInspector::startInspection(const Scheme& scheme)
{
    const auto source = this->source();
    if (!source)
        return;
    m_workbench->jobs()->compute<LayerInspection>(
        this, {tr("Inspect %1").arg(m_tensor), inspectionView, false},
        [source = *source, scheme](std::stop_token stop, Progress& progress) {
            return quantloupe::inspectLayer(
                source.tensor(), *source.weights, scheme, stop, progress, source.model.get());
        },
        [this, scheme, name = m_tensor](Result<LayerInspection> inspection) {
            if (name != m_tensor)
                return;
            if (inspection)
                keep(scheme, std::move(*inspection));
            else
                Q_EMIT failed(QString::fromStdString(quantloupe::describe(inspection.error())));
        });
}

void LayerInspector::startPreview(const Scheme& scheme)
{
    const auto source = this->source();
    if (!source)
        return;
    m_holdBack.start();
    using Sample = std::optional<quantloupe::LayerSample>;
    m_workbench->jobs()->compute<Sample>(
        this, {tr("Preview %1").arg(m_tensor), previewView, false},
        [source = *source, scheme](std::stop_token stop, Progress&) {
            return quantloupe::inspectSample(source.tensor(), *source.weights, scheme, stop);
        },
        [this, scheme, name = m_tensor](Result<Sample> sample) {
            if (name != m_tensor || scheme != m_shown || find(scheme))
                return;
            startInspection(scheme);
            // Why a sample cannot be taken is why the tensor cannot be inspected: said there.
            if (!sample || !*sample)
                return;
            m_sample = std::make_shared<const quantloupe::LayerSample>(std::move(**sample));
            m_sampleShown = false;
            if (!m_holdBack.isActive())
                showPreview();
        });
}

void LayerInspector::showPreview()
{
    // Together where both are there: one redrawing.
    if (m_sample && m_shown && !std::exchange(m_sampleShown, true))
        Q_EMIT previewed(*m_shown);
    if (m_sampledMap)
        Q_EMIT mapReady(*std::exchange(m_sampledMap, std::nullopt), true);
}

void LayerInspector::inspectBeside(const std::vector<Scheme>& schemes)
{
    std::vector<Scheme> missing;
    for (const auto& scheme : schemes)
        if (!find(scheme))
            missing.push_back(scheme);
    const auto source = this->source();
    if (!source || missing.empty())
        return;
    if (!m_weights) {
        m_wantedBeside = missing;
        return;
    }
    using Inspections = std::vector<LayerInspection>;
    m_workbench->jobs()->compute<Inspections>(
        this, {tr("Inspect %1").arg(m_tensor), besideView, false},
        [source = *source, missing](std::stop_token stop, Progress& progress) -> Result<Inspections> {
            Inspections inspections;
            for (const auto& scheme : missing) {
                auto inspection = quantloupe::inspectLayer(
                    source.tensor(), *source.weights, scheme, stop, progress, source.model.get());
                if (!inspection)
                    return tl::unexpected(inspection.error());
                inspections.push_back(std::move(*inspection));
            }
            return inspections;
        },
        [this, missing, name = m_tensor](Result<Inspections> inspections) {
            if (name != m_tensor)
                return;
            if (!inspections) {
                Q_EMIT failed(QString::fromStdString(quantloupe::describe(inspections.error())));
                return;
            }
            for (std::size_t i = 0; i < missing.size(); ++i)
                keep(missing[i], std::move((*inspections)[i]));
        });
}

void LayerInspector::drawMap(const MapWish& wish)
{
    if (wish == m_wantedMap || (!m_wantedMap && wish == m_drawnMap))
        return;
    m_wantedMap = wish;
    if (m_weights)
        startMap();
}

void LayerInspector::startMap()
{
    const auto source = this->source();
    if (!source || !m_wantedMap)
        return;
    const auto shape = matrix();
    WeightMap rectangle {.quantity = m_wantedMap->quantity,
        .firstRow = m_wantedMap->firstRow,
        .firstColumn = m_wantedMap->firstColumn,
        .rows = m_wantedMap->rows ? m_wantedMap->rows : shape.rows,
        .columns = m_wantedMap->rows ? m_wantedMap->columns : shape.columns,
        .cells = {}};
    m_sampledMap.reset();
    for (const auto& view : {mapPreviewView, mapView})
        m_workbench->jobs()->cancel(view);
    // The weights themselves do not change under a moving control: there is nothing to bridge.
    if (m_wantedMap->quantity == quantloupe::MapQuantity::Weights || !m_wantedMap->scheme)
        startExactMap(rectangle);
    else
        startMapPreview(rectangle);
}

void LayerInspector::startExactMap(const WeightMap& rectangle)
{
    const auto source = this->source();
    if (!source || !m_wantedMap)
        return;
    m_workbench->jobs()->compute<WeightMap>(
        this, {tr("Draw %1").arg(m_tensor), mapView, false},
        [source = *source, wish = *m_wantedMap, rectangle](std::stop_token stop, Progress&) {
            return quantloupe::poolWeights(source.tensor(), *source.weights, wish.scheme.value_or(Scheme {}),
                wish.quantity, rectangle, wish.maxHeight, wish.maxWidth, stop, source.model.get());
        },
        [this, wish = *m_wantedMap, name = m_tensor](Result<WeightMap> map) {
            if (name != m_tensor)
                return;
            m_wantedMap.reset();
            m_sampledMap.reset();
            if (!map) {
                Q_EMIT failed(QString::fromStdString(quantloupe::describe(map.error())));
                return;
            }
            m_drawnMap = wish;
            Q_EMIT mapReady(*map, false);
        });
}

void LayerInspector::startMapPreview(const WeightMap& rectangle)
{
    const auto source = this->source();
    if (!source)
        return;
    m_holdBack.start();
    using Sample = std::optional<WeightMap>;
    m_workbench->jobs()->compute<Sample>(
        this, {tr("Preview %1").arg(m_tensor), mapPreviewView, false},
        [source = *source, wish = *m_wantedMap, rectangle](std::stop_token stop, Progress&) {
            return quantloupe::poolSample(source.tensor(), *source.weights, *wish.scheme, wish.quantity, rectangle,
                wish.maxHeight, wish.maxWidth, stop);
        },
        [this, wish = *m_wantedMap, rectangle, name = m_tensor](Result<Sample> map) {
            if (name != m_tensor || wish != m_wantedMap)
                return;
            startExactMap(rectangle);
            if (!map || !*map)
                return;
            m_sampledMap = std::move(**map);
            if (!m_holdBack.isActive())
                showPreview();
        });
}
