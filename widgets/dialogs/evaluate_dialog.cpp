// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/dialogs/evaluate_dialog.h"

#include "core/analysis/smoothing.h"

#include <QCheckBox>
#include <QDoubleSpinBox>
#include <QFormLayout>
#include <QHBoxLayout>
#include <QLabel>

EvaluateDialog::EvaluateDialog(bool smooths, const QString& file, int tokens, QWidget* parent)
    : TextDialog(tr("Evaluate the recipe on text"),
        tr("Runs the model as stored and as the recipe makes it side by side: perplexity, divergence, and how the "
           "error grows from block to block."),
        file, tokens, parent)
    , m_alpha(new QDoubleSpinBox)
    , m_search(new QCheckBox(tr("Sea&rch behind each norm")))
{
    m_alpha->setObjectName(QStringLiteral("alpha"));
    m_alpha->setRange(0.0, 1.0);
    m_alpha->setSingleStep(0.05);
    m_alpha->setValue(quantloupe::usualSmoothing);
    m_alpha->setToolTip(tr("α: how much of the outliers of activations is moved into the weights. 0: none, 1: all."));
    m_search->setObjectName(QStringLiteral("searchAlpha"));
    m_search->setToolTip(
        tr("Takes for each norm the strength with which the outputs of the layers behind it change least"));
    auto* strength = new QWidget;
    auto* row = new QHBoxLayout(strength);
    row->setContentsMargins(0, 0, 0, 0);
    row->addWidget(m_alpha);
    row->addWidget(m_search);
    row->addStretch(1);
    auto* label = new QLabel(tr("Smoothing, &α"));
    label->setBuddy(m_alpha);
    form()->addRow(label, strength);
    form()->setRowVisible(strength, smooths);
    connect(m_search, &QCheckBox::toggled, m_alpha, &QWidget::setDisabled);
}

std::optional<double> EvaluateDialog::alpha() const
{
    return m_search->isChecked() ? std::nullopt : std::optional(m_alpha->value());
}
