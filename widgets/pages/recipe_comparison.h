// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/analysis/comparison.h"

#include <QWidget>

#include <memory>
#include <optional>

class ComparisonModel;
class DumbbellPlot;
class QCheckBox;
class QLabel;
class QSortFilterProxyModel;
class QTableView;
class Workbench;

/// The recipe beside another one, a single scheme or the recipe of another study: each tensor's size and error, by what
/// was measured. Follows the recipe and the study while it is shown.
class RecipeComparison final : public QWidget
{
    Q_OBJECT
public:
    explicit RecipeComparison(Workbench* workbench, QWidget* parent = nullptr);

    /// Compares the recipe with a scheme for everything that it does not keep, or with what a file holds: a recipe
    /// (*.recipe.json) or a study (*.h5). A failure is reported; ready() follows when there is something to see.
    void compareWithScheme(const QString& scheme);
    void compareWithFile(const QString& path);
    void clear();
    bool isEmpty() const { return !m_other; }
    QString otherName() const;  ///< what the recipe is compared with
    QTableView* table() const { return m_table; }

Q_SIGNALS:
    void ready();

protected:
    void showEvent(QShowEvent* event) override;

private:
    /// What the recipe is compared with; its measurements are this study's, or its own study's.
    struct Other {
        QString name;
        quantloupe::Recipe recipe;
        quantloupe::StudyPointer study;  ///< null: the open one
    };
    void compareWith(Other other);
    void compute();
    void showResult(const std::shared_ptr<const quantloupe::Comparison>& comparison);
    void showRows();
    void showSelection();

    Workbench* m_workbench;
    std::optional<Other> m_other;
    std::shared_ptr<const quantloupe::Comparison> m_comparison;
    QLabel* m_summary;
    QCheckBox* m_all;
    DumbbellPlot* m_plot;
    ComparisonModel* m_model;
    QSortFilterProxyModel* m_sorted;
    QTableView* m_table;
};
