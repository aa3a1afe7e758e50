// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "widgets/dialogs/text_dialog.h"

#include <optional>

class QCheckBox;
class QDoubleSpinBox;

/// Which text a recipe is evaluated on and, where it smooths layers, how strongly.
class EvaluateDialog final : public TextDialog
{
    Q_OBJECT
public:
    /// `file` and `tokens` are offered. `smooths`: the recipe has layers that SmoothQuant's norms divide for.
    EvaluateDialog(bool smooths, const QString& file, int tokens, QWidget* parent = nullptr);

    /// α of SmoothQuant; nullopt: to be searched behind each norm.
    std::optional<double> alpha() const;

private:
    QDoubleSpinBox* m_alpha;
    QCheckBox* m_search;
};
