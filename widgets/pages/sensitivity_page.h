// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/study/error_metric.h"

#include <QWidget>

#include <vector>

#include <string>

class DepthLinesPlot;
class QComboBox;
class QLabel;
class QTabWidget;
class RankingPlot;
class RoleBoxPlot;
class SensitivityMapPlot;
class Workbench;

/// Which tensors suffer from which scheme: the map of all of them, and three views of one scheme beside it.
class SensitivityPage final : public QWidget
{
    Q_OBJECT
public:
    explicit SensitivityPage(Workbench* workbench, QWidget* parent = nullptr);

protected:
    void showEvent(QShowEvent* event) override;

private:
    void refresh();       ///< everything, now or when shown
    void refreshViews();  ///< the views of one scheme
    void showSchemes();
    void showSelection();
    void select(const QString& tensor);
    void use(const QString& tensor, const QString& scheme);
    void explain();
    void preferMetric(quantloupe::ErrorMetric best);
    void offerMetrics(const std::vector<quantloupe::ErrorMetric>& known);
    quantloupe::ErrorMetric shownMetric() const;
    std::string scheme() const;

    Workbench* m_workbench;
    QComboBox *m_metric, *m_order, *m_scheme;
    QLabel* m_caption;
    SensitivityMapPlot* m_map;
    QTabWidget* m_views;
    RankingPlot* m_ranking;
    RoleBoxPlot* m_roles;
    DepthLinesPlot* m_depth;
    QString m_chosenScheme;  ///< empty: that of the recipe
    bool m_metricChosen = false;
    bool m_stale = true;
};
