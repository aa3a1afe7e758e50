// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/schemes/scheme.h"

#include <QDialog>

#include <vector>

class QListWidget;
class QPushButton;
class SchemeEditor;

/// Chooses the schemes that every tensor is measured under.
class SweepDialog final : public QDialog
{
    Q_OBJECT
public:
    explicit SweepDialog(const std::vector<quantloupe::Scheme>& schemes, QWidget* parent = nullptr);
    std::vector<quantloupe::Scheme> schemes() const;

private:
    void add(const quantloupe::Scheme& scheme);
    void updateButtons();

    QListWidget* m_list;
    SchemeEditor* m_editor;
    QPushButton* m_remove;
    QPushButton* m_accept;
};
