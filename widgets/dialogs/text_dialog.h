// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QDialog>

#include <cstddef>

class QDialogButtonBox;
class QFormLayout;
class QLineEdit;
class QSpinBox;

/// Which text a model is run on, and how much of it.
class TextDialog : public QDialog
{
    Q_OBJECT
public:
    /// `what`: what the run is for, one or two sentences. `file` and `tokens` are offered.
    TextDialog(const QString& title, const QString& what, const QString& file, int tokens, QWidget* parent = nullptr);

    QString file() const;
    std::size_t tokens() const;

protected:
    QFormLayout* form() const { return m_form; }  ///< for what a kind of run asks beside

private:
    void browse();
    void check();

    QLineEdit* m_file;
    QSpinBox* m_tokens;
    QFormLayout* m_form;
    QDialogButtonBox* m_buttons;
};
