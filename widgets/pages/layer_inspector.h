// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/analysis/inspect_sample.h"

#include <QHash>
#include <QObject>
#include <QString>
#include <QTimer>

#include <memory>
#include <optional>
#include <vector>

class Workbench;

/// What a weight map is wanted of.
struct MapWish {
    quantloupe::MapQuantity quantity = quantloupe::MapQuantity::Weights;
    std::optional<quantloupe::Scheme> scheme {};                         ///< not needed for MapQuantity::Weights
    std::uint64_t firstRow = 0, firstColumn = 0, rows = 0, columns = 0;  ///< no rows: the whole matrix
    std::uint32_t maxHeight = 512, maxWidth = 512;
    bool operator==(const MapWish&) const = default;
};

/// Computes what the Layer page shows of one tensor, in jobs off the window's thread. The newest wish of each kind
/// wins: an older one is cancelled and its result dropped. What was computed for the tensor is kept, so that going back
/// to a scheme is immediate.
///
/// Where the exact result takes longer than a moment, a preview from a sample of rows comes first. A quick exact result
/// overtakes it, so that nothing flickers; never does a preview follow an exact result.
class LayerInspector final : public QObject
{
    Q_OBJECT
public:
    explicit LayerInspector(Workbench* workbench, QObject* parent = nullptr);

    /// Another tensor: forgets the last one's results. Empty or unknown: nothing is computed. Its weight statistics are
    /// taken from the study or measured; weightsReady() follows, at once where they are known.
    void setTensor(const QString& name);
    const QString& tensor() const { return m_tensor; }
    /// Null until weightsReady().
    std::shared_ptr<const quantloupe::WeightStatistics> weights() const { return m_weights; }
    quantloupe::MatrixShape matrix() const;
    /// Whether there are weights to compute from: a study alone has none.
    bool isLive() const;

    /// inspected() follows, at once where it is known. With `schemes` compared beside it.
    void inspect(const quantloupe::Scheme& scheme);
    void inspectBeside(const std::vector<quantloupe::Scheme>& schemes);
    /// Null until inspected.
    std::shared_ptr<const quantloupe::LayerInspection> find(const quantloupe::Scheme& scheme) const;
    /// What a sample says about the scheme; null when there is none, or the exact result is there.
    std::shared_ptr<const quantloupe::LayerSample> preview(const quantloupe::Scheme& scheme) const;
    void drawMap(const MapWish& wish);
    /// Whether an exact map is on its way.
    bool isDrawing() const { return m_wantedMap.has_value(); }

    /// How long a preview is held back for an exact result to overtake it.
    static constexpr int previewAfter = 25;  // milliseconds

Q_SIGNALS:
    void weightsReady();
    void inspected(const quantloupe::Scheme& scheme);
    void previewed(const quantloupe::Scheme& scheme);
    void mapReady(const quantloupe::WeightMap& map, bool isPreview);
    void failed(const QString& reason);

private:
    struct Source;
    std::optional<Source> source() const;
    // Previews first, alone; the exact work begins when they have ended, so as not to slow them down.
    void startPreview(const quantloupe::Scheme& scheme);
    void startInspection(const quantloupe::Scheme& scheme);
    void startMap();
    void startMapPreview(const quantloupe::WeightMap& rectangle);
    void startExactMap(const quantloupe::WeightMap& rectangle);
    void showPreview();
    void keep(const quantloupe::Scheme& scheme, quantloupe::LayerInspection inspection);

    Workbench* m_workbench;
    QString m_tensor;
    std::shared_ptr<const quantloupe::WeightStatistics> m_weights;
    QHash<QString, std::shared_ptr<const quantloupe::LayerInspection>> m_known;  ///< by scheme text
    std::optional<quantloupe::Scheme> m_wanted;                                  ///< waits for the weights
    std::vector<quantloupe::Scheme> m_wantedBeside;
    std::optional<MapWish> m_wantedMap, m_drawnMap;
    std::optional<quantloupe::Scheme> m_shown;  ///< asked for last
    std::shared_ptr<const quantloupe::LayerSample> m_sample;
    bool m_sampleShown = false;
    std::optional<quantloupe::WeightMap> m_sampledMap;  ///< of m_wantedMap
    QTimer m_holdBack;
};
