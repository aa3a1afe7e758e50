// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/schemes/scheme.h"
#include "widgets/theme/theme.h"

#include <QDialog>

class QComboBox;
class QSpinBox;
class SchemeEditor;

/// Theme, threads and the scheme that new models begin with.
class SettingsDialog final : public QDialog
{
    Q_OBJECT
public:
    struct Choice {
        ThemeMode theme = ThemeMode::System;
        unsigned threads = 0;  ///< 0: all
        quantloupe::Scheme initialScheme;
    };
    explicit SettingsDialog(const Choice& choice, QWidget* parent = nullptr);
    Choice choice() const;

private:
    QComboBox* m_theme;
    QSpinBox* m_threads;
    SchemeEditor* m_scheme;
};
