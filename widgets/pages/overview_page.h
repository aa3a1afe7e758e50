// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

class FindingsModel;
class ModelCard;
class QLabel;
class QStackedWidget;
class QTableView;
class QTimer;
class SizeByRolePlot;
class WeightRangePlot;
class Workbench;

/// The first look at a model: what it is, where its bytes are, how its weights spread over depth, and what was found,
/// in plain words, worst first.
class OverviewPage final : public QWidget
{
    Q_OBJECT
public:
    explicit OverviewPage(Workbench* workbench, QWidget* parent = nullptr);

protected:
    void showEvent(QShowEvent* event) override;

private:
    QWidget* makeFindings();
    void showModel();
    void showStudy();
    void findOut();
    void tryCures();
    void showSelection();

    Workbench* m_workbench;
    QStackedWidget* m_stack;
    ModelCard* m_card;
    SizeByRolePlot* m_sizes;
    WeightRangePlot* m_ranges;
    FindingsModel* m_findings;
    QTableView* m_table;
    QLabel* m_findingsNote;
    QTimer* m_cures;  ///< waits until nothing else is being computed
    /// Changes that arrived while the page was hidden, or while findings were being computed.
    bool m_modelStale = true, m_studyStale = true, m_findingsStale = true;
};
