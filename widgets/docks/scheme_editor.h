// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/schemes/scheme.h"

#include <QWidget>

class QComboBox;

/// A scheme as four combos: format, granularity, symmetry, range. A combo that the format takes nothing from is off,
/// and only what can be computed is offered. Scale storage and algorithms of the scheme it was given stay as they are.
class SchemeEditor final : public QWidget
{
    Q_OBJECT
public:
    explicit SchemeEditor(QWidget* parent = nullptr);

    const quantloupe::Scheme& scheme() const { return m_scheme; }
    void setScheme(const quantloupe::Scheme& scheme);

Q_SIGNALS:
    /// By the user's hand, not by setScheme().
    void edited(const quantloupe::Scheme& scheme);

private:
    void show();
    void onFormat();
    void onPart();

    quantloupe::Scheme m_scheme;
    QComboBox* m_format;
    QComboBox* m_granularity;
    QComboBox* m_symmetry;
    QComboBox* m_range;
};
