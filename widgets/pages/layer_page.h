// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/analysis/inspect.h"

#include <QTimer>
#include <QWidget>

#include <optional>
#include <vector>

class ActivationPlot;
class ChannelPlot;
class ErrorHistogramPlot;
class HistogramPlot;
class LayerInspector;
class MetricsTable;
class OccupancyPlot;
class SchemeEditor;
class SmallMultiplesPlot;
class SurvivalPlot;
class WeightMapPlot;
class Workbench;
class QCheckBox;
class QComboBox;
class QHBoxLayout;
class QLabel;
class QPushButton;
class QStackedWidget;

/// One tensor close up, live: its scheme is edited here, and while the hand is still on the control the histograms,
/// the map and the figures follow. Up to four schemes can be pinned, whose curves then stay for comparison.
class LayerPage final : public QWidget
{
    Q_OBJECT
public:
    explicit LayerPage(Workbench* workbench, QWidget* parent = nullptr);

    /// Schemes whose curves are kept, the last pinned one last.
    const std::vector<quantloupe::Scheme>& pinned() const { return m_pinned; }
    static constexpr std::size_t mostPinned = 4;

protected:
    void showEvent(QShowEvent* event) override;
    void changeEvent(QEvent* event) override;

private:
    void makeLayout();
    QWidget* makeHeader();
    QWidget* makeBody();

    void say(const QString& status);
    void showTensor();
    void showScheme();
    void showWeights();
    void showInspection();
    void showChannels();
    void showInputs();
    void showPanels();
    void showPins();
    void drawMap();
    void edit(const std::optional<quantloupe::Scheme>& scheme);
    void pin();
    void unpin(const quantloupe::Scheme& scheme);
    /// Of the scheme shown: computed live, else from the study; null when neither is there.
    const quantloupe::SchemeMeasurement* measurement() const;

    Workbench* m_workbench;
    LayerInspector* m_inspector;
    std::optional<quantloupe::Scheme> m_scheme;  ///< of the current tensor; absent: kept as stored
    std::vector<quantloupe::Scheme> m_pinned;
    bool m_stale = true;      ///< changed while hidden
    bool m_viewIsNew = true;  ///< another tensor: axes show everything again

    QStackedWidget* m_stack;
    QLabel* m_name;
    QLabel* m_facts;
    QLabel* m_status;
    SchemeEditor* m_editor;
    QCheckBox* m_keep;
    QPushButton* m_pin;
    QWidget* m_pins;
    QHBoxLayout* m_pinLine;
    QComboBox* m_mapQuantity;
    QLabel* m_mapNote;  ///< what keeps the map from being exact
    QComboBox* m_channelSide;
    QComboBox* m_channelQuantity;
    HistogramPlot* m_histogram;
    ErrorHistogramPlot* m_errors;
    WeightMapPlot* m_map;
    MetricsTable* m_metrics;
    SmallMultiplesPlot* m_panels;
    SurvivalPlot* m_survival;
    ChannelPlot* m_channels;
    OccupancyPlot* m_occupancy;
    ActivationPlot* m_inputs;
    QLabel* m_inputsNote;  ///< what they mean for W8A8
    QComboBox* m_inputOrder;
    QTimer m_slow, m_slowMap;  ///< run until a computation is worth mentioning
};
