// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/model/catalog.h"
#include "core/study/calibrate_gradients.h"
#include "widgets/dialogs/text_dialog.h"

#include <cstdint>
#include <optional>

class QCheckBox;
class QLabel;
class QSpinBox;

/// Which text a model is calibrated on, and whether gradients are taken too, with what they cost.
class CalibrationDialog final : public TextDialog
{
    Q_OBJECT
public:
    /// `file` and `tokens` are offered.
    CalibrationDialog(
        const quantloupe::ModelCatalog& model, const QString& file, int tokens, QWidget* parent = nullptr);

    /// nullopt: none are asked for.
    std::optional<quantloupe::GradientCalibration> gradients() const;

private:
    void follow();

    QCheckBox *m_gradients, *m_fisher;
    QSpinBox* m_gradientTokens;
    QLabel* m_estimate;
    std::uint64_t m_bytes, m_bytesWithoutFisher;  ///< on disk
};
