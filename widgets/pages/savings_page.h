// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/projection/projection.h"

#include <QWidget>

class LatencyPlot;
class MemoryStackPlot;
class QComboBox;
class QLabel;
class QSpinBox;
class QTableWidget;
class RooflinePlot;
class Workbench;

/// What the recipe saves on a device: memory, speed and energy, all projected, base and recipe side by side.
class SavingsPage final : public QWidget
{
    Q_OBJECT
public:
    explicit SavingsPage(Workbench* workbench, QWidget* parent = nullptr);

    quantloupe::Workload workload() const;  ///< of the recipe; the base keeps a 16-bit cache

protected:
    void showEvent(QShowEvent* event) override;

private:
    QWidget* makeControls();
    void showDevices();
    void showKeyValue();
    void refresh();
    void fillFigures(const quantloupe::Projection& base, const quantloupe::Projection& recipe);
    void fillSources(const quantloupe::DeviceProfile& device);
    const quantloupe::DeviceProfile* device() const;

    Workbench* m_workbench;
    QComboBox *m_device, *m_keyValue;
    QSpinBox *m_context, *m_batch;
    QLabel *m_verdict, *m_assumptions;
    MemoryStackPlot* m_memory;
    LatencyPlot* m_latency;
    RooflinePlot* m_roofline;
    QTableWidget *m_figures, *m_sources;
    bool m_stale = true;
};
