// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/dialogs/text_dialog.h"

#include <QDialogButtonBox>
#include <QFileDialog>
#include <QFileInfo>
#include <QFormLayout>
#include <QHBoxLayout>
#include <QLabel>
#include <QLineEdit>
#include <QPushButton>
#include <QSpinBox>
#include <QVBoxLayout>

TextDialog::TextDialog(const QString& title, const QString& what, const QString& file, int tokens, QWidget* parent)
    : QDialog(parent)
    , m_file(new QLineEdit(file))
    , m_tokens(new QSpinBox)
    , m_form(new QFormLayout)
    , m_buttons(new QDialogButtonBox(QDialogButtonBox::Ok | QDialogButtonBox::Cancel))
{
    setWindowTitle(title);
    auto* explanation = new QLabel(what);
    explanation->setWordWrap(true);
    m_file->setObjectName(QStringLiteral("file"));
    m_file->setMinimumWidth(m_file->fontMetrics().averageCharWidth() * 44);
    m_file->setPlaceholderText(tr("Plain text, or JSON lines with a text field"));
    auto* browse = new QPushButton(tr("&Browse…"));
    browse->setAutoDefault(false);
    m_tokens->setObjectName(QStringLiteral("tokens"));
    m_tokens->setRange(256, 100'000'000);
    m_tokens->setSingleStep(1024);
    m_tokens->setGroupSeparatorShown(true);
    m_tokens->setValue(tokens);
    m_tokens->setToolTip(tr("No more than the first so many tokens of the text are read. More of them take longer and "
                            "make the figures steadier."));

    auto* fileRow = new QHBoxLayout;
    fileRow->addWidget(m_file, 1);
    fileRow->addWidget(browse);
    auto* fileLabel = new QLabel(tr("&Text"));
    fileLabel->setBuddy(m_file);
    m_form->addRow(fileLabel, fileRow);
    m_form->addRow(tr("To&kens, at most"), m_tokens);
    m_buttons->button(QDialogButtonBox::Ok)->setText(tr("&Run"));
    auto* layout = new QVBoxLayout(this);
    layout->addWidget(explanation);
    layout->addLayout(m_form);
    layout->addStretch(1);
    layout->addWidget(m_buttons);

    connect(browse, &QPushButton::clicked, this, &TextDialog::browse);
    connect(m_file, &QLineEdit::textChanged, this, &TextDialog::check);
    connect(m_buttons, &QDialogButtonBox::accepted, this, &QDialog::accept);
    connect(m_buttons, &QDialogButtonBox::rejected, this, &QDialog::reject);
    check();
}

QString TextDialog::file() const
{
    return m_file->text().trimmed();
}

std::size_t TextDialog::tokens() const
{
    return static_cast<std::size_t>(m_tokens->value());
}

void TextDialog::browse()
{
    const auto chosen = QFileDialog::getOpenFileName(
        this, tr("Choose a text"), QFileInfo(file()).path(), tr("Texts (*.txt *.md *.jsonl *.json);;All files (*)"));
    if (!chosen.isEmpty())
        m_file->setText(chosen);
}

void TextDialog::check()
{
    m_buttons->button(QDialogButtonBox::Ok)->setEnabled(QFileInfo(file()).isFile());
}
