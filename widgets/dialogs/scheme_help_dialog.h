// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QDialog>

/// How schemes are written: the notation with its parts, and examples.
class SchemeHelpDialog final : public QDialog
{
    Q_OBJECT
public:
    explicit SchemeHelpDialog(QWidget* parent = nullptr);
};
