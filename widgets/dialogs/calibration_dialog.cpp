// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/dialogs/calibration_dialog.h"

#include "core/calibration/gather_gradients.h"
#include "widgets/support/format_text.h"

#include <QCheckBox>
#include <QFormLayout>
#include <QLabel>
#include <QSpinBox>

CalibrationDialog::CalibrationDialog(
    const quantloupe::ModelCatalog& model, const QString& file, int tokens, QWidget* parent)
    : TextDialog(tr("Calibrate on text"),
        tr("Runs the model on a text and keeps what goes into each layer: output errors become known, and algorithms "
           "such as gptq and awq can be used."),
        file, tokens, parent)
    , m_gradients(new QCheckBox(tr("Take &gradients too")))
    , m_fisher(new QCheckBox(tr("Of every &weight (Fisher)")))
    , m_gradientTokens(new QSpinBox)
    , m_estimate(new QLabel)
    , m_bytes(quantloupe::gradientBytes(model, true))
    , m_bytesWithoutFisher(quantloupe::gradientBytes(model, false))
{
    m_gradients->setObjectName(QStringLiteral("gradients"));
    m_gradients->setToolTip(tr("Runs the first windows of the text backwards. The Sensitivity and Trade-off pages can "
                               "then predict the KL of any scheme (K-FAC), without running a changed model."));
    m_fisher->setObjectName(QStringLiteral("fisher"));
    m_fisher->setChecked(true);
    m_fisher->setToolTip(tr("Keeps the squared gradient of each weight, 4 bytes each: the metric Fisher"));
    m_gradientTokens->setObjectName(QStringLiteral("gradientTokens"));
    m_gradientTokens->setRange(2, 100'000'000);
    m_gradientTokens->setSingleStep(1024);
    m_gradientTokens->setGroupSeparatorShown(true);
    m_gradientTokens->setValue(static_cast<int>(quantloupe::gradientTokens));
    m_gradientTokens->setToolTip(tr("Gradients of about so many tokens: a few thousand rank layers as well as more"));
    m_estimate->setObjectName(QStringLiteral("estimate"));
    m_estimate->setWordWrap(true);
    m_estimate->setForegroundRole(QPalette::PlaceholderText);
    form()->addRow(m_gradients);
    form()->addRow(tr("Tokens of g&radients"), m_gradientTokens);
    form()->addRow(QString(), m_fisher);
    form()->addRow(m_estimate);
    connect(m_gradients, &QCheckBox::toggled, this, &CalibrationDialog::follow);
    connect(m_fisher, &QCheckBox::toggled, this, &CalibrationDialog::follow);
    follow();
}

std::optional<quantloupe::GradientCalibration> CalibrationDialog::gradients() const
{
    if (!m_gradients->isChecked())
        return std::nullopt;
    return quantloupe::GradientCalibration {
        .tokens = static_cast<std::size_t>(m_gradientTokens->value()), .fisher = m_fisher->isChecked()};
}

void CalibrationDialog::follow()
{
    const bool wanted = m_gradients->isChecked();
    m_gradientTokens->setEnabled(wanted);
    m_fisher->setEnabled(wanted);
    m_estimate->setText(wanted ? tr("Gradients take about %1 on disk, beside the study. Time left stands in Jobs.")
                                     .arg(format::bytes(m_fisher->isChecked() ? m_bytes : m_bytesWithoutFisher))
                               : tr("Without gradients K-FAC and Fisher stay unknown."));
}
