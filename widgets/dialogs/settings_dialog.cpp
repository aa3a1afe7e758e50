// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/dialogs/settings_dialog.h"

#include "widgets/docks/scheme_editor.h"
#include "widgets/workbench/workbench.h"

#include <QComboBox>
#include <QDialogButtonBox>
#include <QDir>
#include <QFormLayout>
#include <QLabel>
#include <QSpinBox>
#include <QVBoxLayout>

#include <thread>

SettingsDialog::SettingsDialog(const Choice& choice, QWidget* parent)
    : QDialog(parent)
    , m_theme(new QComboBox)
    , m_threads(new QSpinBox)
    , m_scheme(new SchemeEditor)
{
    setWindowTitle(tr("Settings"));
    m_theme->addItem(tr("Like the system"), static_cast<int>(ThemeMode::System));
    m_theme->addItem(tr("Light"), static_cast<int>(ThemeMode::Light));
    m_theme->addItem(tr("Dark"), static_cast<int>(ThemeMode::Dark));
    m_theme->setCurrentIndex(m_theme->findData(static_cast<int>(choice.theme)));
    m_threads->setRange(0, static_cast<int>(std::max(1u, std::thread::hardware_concurrency())));
    m_threads->setSpecialValueText(tr("all"));
    m_threads->setValue(static_cast<int>(choice.threads));
    m_threads->setToolTip(tr("How many threads a job may use. Results do not depend on it."));
    m_scheme->setScheme(choice.initialScheme);
    m_scheme->setToolTip(tr("What a model is quantized with when it is opened for the first time."));
    auto* folder = new QLabel(QDir::toNativeSeparators(Workbench::dataFolder()));
    folder->setTextInteractionFlags(Qt::TextSelectableByMouse | Qt::TextSelectableByKeyboard);
    folder->setToolTip(
        tr("Studies and recipes are kept here. Set QUANTLOUPE_DATA before the start to use another folder."));
    folder->setWordWrap(true);

    auto* form = new QFormLayout;
    form->addRow(tr("&Theme"), m_theme);
    form->addRow(tr("Th&reads"), m_threads);
    form->addRow(tr("Default &scheme"), m_scheme);
    form->addRow(tr("Data folder"), folder);
    auto* buttons = new QDialogButtonBox(QDialogButtonBox::Ok | QDialogButtonBox::Cancel);
    connect(buttons, &QDialogButtonBox::accepted, this, &QDialog::accept);
    connect(buttons, &QDialogButtonBox::rejected, this, &QDialog::reject);
    auto* layout = new QVBoxLayout(this);
    layout->addLayout(form);
    layout->addStretch();
    layout->addWidget(buttons);
}

SettingsDialog::Choice SettingsDialog::choice() const
{
    return {static_cast<ThemeMode>(m_theme->currentData().toInt()), static_cast<unsigned>(m_threads->value()),
        m_scheme->scheme()};
}
