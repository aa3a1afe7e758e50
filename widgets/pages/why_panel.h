// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/schemes/scheme.h"

#include <QWidget>

#include <optional>

class CuresModel;
class LayerInspector;
class QLabel;
class QPushButton;
class QTableView;
class Workbench;

/// Why the tensor of an inspector loses what it loses under its scheme of the recipe, and what helps: tried on the
/// tensor when asked, ranked, and adopted from here.
class WhyPanel final : public QWidget
{
    Q_OBJECT
public:
    WhyPanel(Workbench* workbench, LayerInspector* inspector, QWidget* parent = nullptr);

private:
    void showCauses();
    void forget();  ///< what was known of a tensor
    void tryCures();
    void use();
    void enable();
    std::optional<quantloupe::Scheme> scheme() const;  ///< of the tensor in the recipe

    Workbench* m_workbench;
    LayerInspector* m_inspector;
    QLabel* m_causes;
    CuresModel* m_cures;
    QTableView* m_table;
    QPushButton *m_try, *m_use;
    QString m_tensor;                            ///< what the cures are of
    std::optional<quantloupe::Scheme> m_scheme;  ///< likewise
};
