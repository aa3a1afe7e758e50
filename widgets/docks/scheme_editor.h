// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/algorithms/combinations.h"
#include "core/schemes/scheme.h"

#include <QWidget>

class QComboBox;
class QPushButton;
class SchemeMoreMenu;

/// A scheme as controls: format, granularity, symmetry and range as combos, algorithms and scale storage behind a
/// button. Only what makes sense together with all the rest is offered; a combo that the format takes nothing from is
/// off. Whatever one control changes, the other parts stay as they are where the new scheme makes sense with them.
class SchemeEditor final : public QWidget
{
    Q_OBJECT
public:
    explicit SchemeEditor(QWidget* parent = nullptr);

    const quantloupe::Scheme& scheme() const { return m_scheme; }
    void setScheme(const quantloupe::Scheme& scheme);
    /// Whether algorithms that go by layers' inputs are offered.
    void setCalibration(quantloupe::Calibration calibration);

Q_SIGNALS:
    /// By the user's hand, not by setScheme().
    void edited(const quantloupe::Scheme& scheme);

private:
    void fillFormats();
    void show();
    void showMore();
    void change(const quantloupe::Scheme& scheme);
    template<class T>
    void connectPart(QComboBox* combo, QVector<T> SchemeEditor::*offered, T quantloupe::Scheme::*part);

    quantloupe::Scheme m_scheme;
    QVector<quantloupe::Granularity> m_granularities;  ///< behind the entries of the combo; so for the others
    QVector<quantloupe::Symmetry> m_symmetries;
    QVector<quantloupe::RangeEstimator> m_ranges;
    QComboBox* m_format;
    QComboBox* m_granularity;
    QComboBox* m_symmetry;
    QComboBox* m_range;
    QPushButton* m_more;
    SchemeMoreMenu* m_menu;
};
