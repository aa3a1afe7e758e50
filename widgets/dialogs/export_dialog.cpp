// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/dialogs/export_dialog.h"

#include "widgets/dialogs/preview_text.h"
#include "widgets/theme/icons.h"
#include "widgets/workbench/workbench.h"

#include <QClipboard>
#include <QDialogButtonBox>
#include <QFileDialog>
#include <QFontDatabase>
#include <QGuiApplication>
#include <QHBoxLayout>
#include <QLabel>
#include <QLineEdit>
#include <QListWidget>
#include <QPlainTextEdit>
#include <QPushButton>
#include <QScrollArea>
#include <QSplitter>
#include <QTabWidget>
#include <QVBoxLayout>

namespace {

constexpr int nameRole = Qt::UserRole;

QString text(std::string_view view)
{
    return QString::fromUtf8(view.data(), static_cast<qsizetype>(view.size()));
}

}  // namespace

ExportDialog::ExportDialog(Workbench* workbench, const QString& target, const QString& path, QWidget* parent)
    : QDialog(parent)
    , m_workbench(workbench)
    , m_path(path)
    , m_targets(new QListWidget)
    , m_description(new QLabel)
    , m_files(new QTabWidget)
    , m_warnings(new QLabel)
    , m_commandTitle(new QLabel(tr("Co&mmand")))
    , m_command(new QLineEdit)
    , m_copyCommand(new QPushButton(themeIcon(QStringLiteral("copy")), tr("Copy comman&d")))
    , m_copy(new QPushButton(themeIcon(QStringLiteral("copy")), tr("&Copy file")))
    , m_save(new QPushButton(themeIcon(QStringLiteral("save")), tr("&Save…")))
    , m_saved(new QLabel)
{
    setWindowTitle(tr("Export the recipe"));
    m_targets->setAccessibleName(tr("Tools to export for"));
    m_targets->setObjectName(QStringLiteral("targets"));
    for (const auto* row : quantloupe::exportTargets()) {
        auto* item = new QListWidgetItem(text(row->title), m_targets);
        item->setData(nameRole, text(row->name));
        item->setToolTip(text(row->description));
    }
    m_targets->setMaximumWidth(m_targets->sizeHintForColumn(0) + 32);
    for (auto* label : {m_description, m_warnings, m_saved}) {
        label->setWordWrap(true);
        label->setTextInteractionFlags(Qt::TextSelectableByMouse);
    }
    m_warnings->setObjectName(QStringLiteral("warnings"));
    m_warnings->setAlignment(Qt::AlignTop | Qt::AlignLeft);
    // Hundreds of tensors may be named: the list scrolls, the preview keeps its place.
    auto* warningsArea = new QScrollArea;
    warningsArea->setWidget(m_warnings);
    warningsArea->setWidgetResizable(true);
    warningsArea->setFrameShape(QFrame::NoFrame);
    warningsArea->setMaximumHeight(110);
    m_files->setDocumentMode(true);
    m_command->setReadOnly(true);
    m_command->setFont(QFontDatabase::systemFont(QFontDatabase::FixedFont));
    m_commandTitle->setBuddy(m_command);

    auto* command = new QHBoxLayout;
    command->addWidget(m_commandTitle);
    command->addWidget(m_command, 1);
    command->addWidget(m_copyCommand);
    auto* right = new QWidget;
    auto* rightLayout = new QVBoxLayout(right);
    rightLayout->setContentsMargins(0, 0, 0, 0);
    rightLayout->addWidget(m_description);
    rightLayout->addWidget(m_files, 1);
    rightLayout->addWidget(warningsArea);
    rightLayout->addLayout(command);
    auto* splitter = new QSplitter;
    splitter->addWidget(m_targets);
    splitter->addWidget(right);
    splitter->setStretchFactor(1, 1);
    splitter->setChildrenCollapsible(false);

    auto* buttons = new QDialogButtonBox(QDialogButtonBox::Close);
    buttons->addButton(m_copy, QDialogButtonBox::ActionRole);
    buttons->addButton(m_save, QDialogButtonBox::ActionRole);
    m_save->setDefault(true);
    auto* layout = new QVBoxLayout(this);
    layout->addWidget(splitter, 1);
    layout->addWidget(m_saved);
    layout->addWidget(buttons);
    resize(860, 560);

    connect(buttons, &QDialogButtonBox::rejected, this, &QDialog::reject);
    connect(m_targets, &QListWidget::currentRowChanged, this, &ExportDialog::refresh);
    connect(m_workbench, &Workbench::recipeChanged, this, &ExportDialog::refresh);
    connect(m_copy, &QPushButton::clicked, this, [this] {
        const auto file = static_cast<std::size_t>(std::max(0, m_files->currentIndex()));
        if (m_result && file < m_result->files.size())
            QGuiApplication::clipboard()->setText(QString::fromStdString(m_result->files[file].content));
    });
    connect(m_copyCommand, &QPushButton::clicked, this,
        [this] { QGuiApplication::clipboard()->setText(m_command->text()); });
    connect(m_save, &QPushButton::clicked, this, &ExportDialog::save);
    setTarget(target);
}

QString ExportDialog::target() const
{
    const auto* item = m_targets->currentItem();
    return item ? item->data(nameRole).toString() : QString();
}

void ExportDialog::setTarget(const QString& name)
{
    int row = 0;
    for (int i = 0; i < m_targets->count(); ++i)
        if (m_targets->item(i)->data(nameRole).toString() == name)
            row = i;
    m_targets->setCurrentRow(row);
}

QString ExportDialog::preview() const
{
    return m_result && !m_result->files.empty() ? QString::fromStdString(m_result->files.front().content) : QString();
}

void ExportDialog::refresh()
{
    const auto* row = quantloupe::findExportTarget(target().toStdString());
    if (!row)
        return;
    m_description->setText(text(row->description));
    m_saved->clear();
    m_workbench->jobs()->compute<quantloupe::ExportResult>(
        this, {tr("Export preview"), QStringLiteral("export/preview"), false},
        [row, recipe = m_workbench->recipe(), plan = m_workbench->plan(), catalog = m_workbench->catalog()](
            std::stop_token, quantloupe::Progress&) { return row->write(recipe, plan, catalog); },
        [this](const quantloupe::Result<quantloupe::ExportResult>& result) { show(result); });
}

void ExportDialog::show(const quantloupe::Result<quantloupe::ExportResult>& result)
{
    const auto file = m_files->currentIndex();
    while (m_files->count() > 0)
        delete m_files->widget(0);
    m_result = result ? std::optional(*result) : std::nullopt;
    const auto usable = m_result && !m_result->files.empty();
    m_copy->setEnabled(usable);
    m_save->setEnabled(usable);
    if (!result) {
        m_warnings->setText(
            tr("<b>Cannot be expressed:</b> %1").arg(QString::fromStdString(describe(result.error())).toHtmlEscaped()));
        m_command->clear();
    } else {
        for (const auto& exported : result->files) {
            auto* view = new QPlainTextEdit;
            view->setReadOnly(true);
            view->setLineWrapMode(QPlainTextEdit::NoWrap);
            view->setFont(QFontDatabase::systemFont(QFontDatabase::FixedFont));
            view->setPlainText(previewText(exported.content));
            m_files->addTab(view, exported.name.empty() ? tr("Main file") : QString::fromStdString(exported.name));
        }
        m_files->setCurrentIndex(std::max(0, std::min(file, m_files->count() - 1)));
        QStringList lines;
        for (const auto& warning : result->warnings)
            lines << QStringLiteral("• ") + QString::fromStdString(warning).toHtmlEscaped();
        m_warnings->setText(lines.isEmpty() ? tr("Nothing is lost.") : lines.join(QStringLiteral("<br>")));
        m_command->setText(QString::fromStdString(result->command));
        m_command->setCursorPosition(0);
    }
    m_files->tabBar()->setVisible(m_files->count() > 1);
    for (auto* widget :
        {static_cast<QWidget*>(m_commandTitle), static_cast<QWidget*>(m_command), static_cast<QWidget*>(m_copyCommand)})
        widget->setVisible(!m_command->text().isEmpty());
}

QString ExportDialog::saveTo(const QString& path, bool overwrite)
{
    if (!m_result)
        return tr("There is nothing to save.");
    const std::filesystem::path file(path.toStdU16String());
    const auto* row = quantloupe::findExportTarget(target().toStdString());
    const auto result = quantloupe::renamed(*m_result, *row, m_workbench->catalog(), file);
    const auto written = quantloupe::writeExport(result, file, overwrite);
    if (!written)
        return QString::fromStdString(describe(written.error()));
    m_command->setText(QString::fromStdString(result.command));
    QStringList names;
    for (const auto& each : *written)
        names << QString::fromStdString(each.string());
    m_saved->setText(tr("Saved %1").arg(names.join(QStringLiteral(", "))));
    m_workbench->jobs()->addLog(m_saved->text());
    return {};
}

void ExportDialog::save()
{
    const auto* row = quantloupe::findExportTarget(target().toStdString());
    // The file dialog asks before it gives the name of a file that exists.
    const auto path =
        QFileDialog::getSaveFileName(this, tr("Save for %1").arg(text(row->title)), m_path + text(row->suffix));
    if (path.isEmpty())
        return;
    if (const auto error = saveTo(path, true); !error.isEmpty())
        m_saved->setText(tr("<b>Not saved:</b> %1").arg(error.toHtmlEscaped()));
}
