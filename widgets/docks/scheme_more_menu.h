// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/algorithms/combinations.h"
#include "core/schemes/scheme.h"

#include <QMenu>

#include <vector>

class QActionGroup;
class QLineEdit;

/// The rarer parts of a scheme: algorithms, scale storage, and the whole in its notation, to type or to copy. It stays
/// open while things are switched on and off. What makes no sense with the rest is off and says why.
class SchemeMoreMenu final : public QMenu
{
    Q_OBJECT
public:
    explicit SchemeMoreMenu(QWidget* parent = nullptr);

    void setScheme(const quantloupe::Scheme& scheme);
    void setCalibration(quantloupe::Calibration calibration);

Q_SIGNALS:
    /// By the user's hand, not by setScheme().
    void edited(const quantloupe::Scheme& scheme);

protected:
    void mouseReleaseEvent(QMouseEvent* event) override;
    void keyPressEvent(QKeyEvent* event) override;

private:
    void refresh();
    void showAlgorithms();
    void showScales();
    void change(const quantloupe::Scheme& scheme);
    void takeText();

    quantloupe::Scheme m_scheme;
    quantloupe::Calibration m_calibration = quantloupe::Calibration::Absent;
    QAction* m_scaleSection;
    QAction* m_textSection;
    QActionGroup* m_scales;
    QLineEdit* m_text;
    std::vector<QAction*> m_algorithmActions, m_scaleActions;
};
