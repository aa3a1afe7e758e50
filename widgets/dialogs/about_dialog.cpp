// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/dialogs/about_dialog.h"

#include "core/kernels/simd_target.h"
#include "widgets/theme/fonts.h"

#include <tbb/version.h>

#include <QCoreApplication>
#include <QDialogButtonBox>
#include <QFormLayout>
#include <QIcon>
#include <QLabel>
#include <QVBoxLayout>

#include <thread>

AboutDialog::AboutDialog(QWidget* parent)
    : QDialog(parent)
{
    setWindowTitle(tr("About Quantloupe"));
    auto* icon = new QLabel;
    icon->setPixmap(QIcon(QStringLiteral(":/application/io.github.quantloupe.Quantloupe.svg")).pixmap(64, 64));
    auto* title = new QLabel(tr("Quantloupe %1").arg(QCoreApplication::applicationVersion()));
    title->setFont(scaledFont(font(), 1.5, true));
    auto* text =
        new QLabel(tr("Workbench for the quantization of large language models.<br>"
                      "Free software under the GNU General Public License, version 3 or later. There is no warranty."));
    text->setWordWrap(true);
    text->setMinimumWidth(400);
    auto* form = new QFormLayout;
    const auto add = [form](const QString& name, const QString& value) {
        auto* label = new QLabel(value);
        label->setTextInteractionFlags(Qt::TextSelectableByMouse | Qt::TextSelectableByKeyboard);
        form->addRow(name, label);
    };
    const auto target = quantloupe::simdTarget();
    add(tr("Instructions"), QString::fromLatin1(target.data(), static_cast<qsizetype>(target.size())));
    add(tr("Threads"), QString::number(std::thread::hardware_concurrency()));
    add(tr("Qt"), QString::fromLatin1(qVersion()));
    add(tr("oneTBB"), QString::fromLatin1(TBB_runtime_version()));
    auto* buttons = new QDialogButtonBox(QDialogButtonBox::Close);
    connect(buttons, &QDialogButtonBox::rejected, this, &QDialog::reject);
    auto* layout = new QVBoxLayout(this);
    layout->addWidget(icon);
    layout->addWidget(title);
    layout->addWidget(text);
    layout->addLayout(form);
    layout->addWidget(buttons);
}
