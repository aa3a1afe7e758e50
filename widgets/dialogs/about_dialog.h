// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QDialog>

/// Version, licence, libraries, and which instructions the kernels use on this processor.
class AboutDialog final : public QDialog
{
    Q_OBJECT
public:
    explicit AboutDialog(QWidget* parent = nullptr);
};
