// SPDX-License-Identifier: GPL-3.0-or-later
// What the Layer page shows of a layer's inputs, where the study has been calibrated.
#include "widgets/pages/layer_page.h"
#include "widgets/plots/activation_plot.h"
#include "widgets/support/format_text.h"
#include "widgets/workbench/workbench.h"

#include <QComboBox>
#include <QLabel>
#include <QLocale>

using quantloupe::InputProfile;

namespace {

/// What the profile means for activations in eight bits.
QString meaningOf(const InputProfile& profile)
{
    QStringList parts;
    if (!profile.outliers.empty())
        parts << LayerPage::tr("Outlier channels: %1").arg(format::integer(profile.outliers.size()));
    if (profile.usualToken > 0.0)
        parts << LayerPage::tr("INT8 per token: RMS of a median channel is %1 of 127 steps")
                     .arg(QLocale().toString(profile.stepsOfUsualChannel(), 'f', 1));
    parts << LayerPage::tr("%1 tokens").arg(format::integer(profile.tokens));
    return parts.join(QStringLiteral("  ·  "));
}

}  // namespace

void LayerPage::showInputs()
{
    if (!isVisible())
        return;
    const auto name = m_workbench->currentTensor();
    const auto& calibration = m_workbench->study()->calibration;
    const auto profile = inputProfileOf(calibration, name.toStdString());
    m_inputsNote->setText(profile ? meaningOf(*profile) : QString());
    m_inputOrder->setEnabled(profile.has_value());
    if (!profile) {
        m_inputs->setEmptyText(calibration.inputs().empty()
                ? tr("Nothing is known of activations yet: Analyze → Calibrate runs the model on text")
                : tr("Calibration saw no inputs of this tensor"));
        m_inputs->clear();
        return;
    }
    m_inputs->setOrder(
        m_inputOrder->currentIndex() == 0 ? ActivationPlot::Order::ByPosition : ActivationPlot::Order::LoudestFirst);
    m_inputs->setProfile(*profile);
}
