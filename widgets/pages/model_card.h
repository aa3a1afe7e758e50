// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/recipes/plan.h"

#include <QFrame>

class QGridLayout;
class QLabel;

/// What a model is, at a glance: name, architecture, size, dtypes; a notice when it is synthetic; its warnings.
class ModelCard final : public QFrame
{
    Q_OBJECT
public:
    explicit ModelCard(QWidget* parent = nullptr);

    /// @pre the plan was resolved against this catalog
    void setModel(const quantloupe::ModelCatalog& catalog, const quantloupe::Plan& plan);

protected:
    void changeEvent(QEvent* event) override;

private:
    void addFigure(const QString& name, const QString& value, const QString& explanation = {});
    void styleHeading();

    QLabel* m_name;
    QLabel* m_path;
    QLabel* m_synthetic;
    QLabel* m_warnings;
    QGridLayout* m_figures;
    int m_count = 0;
};
