// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/dialogs/report_dialog.h"

#include "core/base/atomic_file.h"
#include "widgets/dialogs/preview_text.h"
#include "widgets/report/html_report.h"
#include "widgets/theme/icons.h"
#include "widgets/workbench/workbench.h"

#include <QDate>
#include <QDialogButtonBox>
#include <QFileDialog>
#include <QFileInfo>
#include <QFontDatabase>
#include <QFormLayout>
#include <QGuiApplication>
#include <QLabel>
#include <QLineEdit>
#include <QListWidget>
#include <QPlainTextEdit>
#include <QPushButton>
#include <QScrollBar>
#include <QSplitter>
#include <QTimer>
#include <QVBoxLayout>

#include <chrono>

namespace {

/// The study as the window has it now: its recipe may be younger than the last snapshot.
std::shared_ptr<const quantloupe::StudySnapshot> currentStudy(const Workbench& workbench)
{
    auto study = std::make_shared<quantloupe::StudySnapshot>(*workbench.study());
    study->recipe = workbench.recipe();
    return study;
}

}  // namespace

ReportDialog::ReportDialog(Workbench* workbench, const QString& author, const QString& path, QWidget* parent)
    : QDialog(parent)
    , m_workbench(workbench)
    , m_path(path)
    , m_sections(new QListWidget)
    , m_title(new QLineEdit)
    , m_author(new QLineEdit(author))
    , m_notes(new QPlainTextEdit)
    , m_preview(new QPlainTextEdit)
    , m_saved(new QLabel)
    , m_pause(new QTimer(this))
{
    setWindowTitle(tr("Report"));
    m_title->setText(tr("Quantization of %1").arg(Workbench::displayName(m_workbench->modelPath())));
    m_notes->setPlaceholderText(tr("What the reader should know"));
    m_notes->setTabChangesFocus(true);
    m_notes->setMaximumHeight(140);
    m_sections->setObjectName(QStringLiteral("sections"));
    m_sections->setAccessibleName(tr("Sections of the report"));
    for (const auto& [id, title] : quantloupe::reportSections()) {
        auto* item = new QListWidgetItem(QString::fromStdString(title), m_sections);
        item->setData(Qt::UserRole, QString::fromStdString(id));
        item->setFlags(Qt::ItemIsEnabled | Qt::ItemIsSelectable | Qt::ItemIsUserCheckable);
        item->setCheckState(Qt::Checked);
    }
    // As Markdown source: a text document lays out tables anew for every cell, minutes for a large model.
    m_preview->setReadOnly(true);
    m_preview->setLineWrapMode(QPlainTextEdit::NoWrap);
    m_preview->setFont(QFontDatabase::systemFont(QFontDatabase::FixedFont));
    m_preview->setObjectName(QStringLiteral("reportPreview"));
    m_preview->setAccessibleName(tr("Preview"));
    m_saved->setWordWrap(true);
    m_saved->setTextInteractionFlags(Qt::TextSelectableByMouse);

    auto* form = new QFormLayout;
    form->addRow(tr("&Title"), m_title);
    form->addRow(tr("&Author"), m_author);
    form->addRow(tr("&Notes"), m_notes);
    auto* sectionsTitle = new QLabel(tr("S&ections"));
    sectionsTitle->setBuddy(m_sections);
    auto* left = new QWidget;
    auto* leftLayout = new QVBoxLayout(left);
    leftLayout->setContentsMargins(0, 0, 0, 0);
    leftLayout->addLayout(form);
    leftLayout->addWidget(sectionsTitle);
    leftLayout->addWidget(m_sections, 1);
    auto* right = new QWidget;
    auto* rightLayout = new QVBoxLayout(right);
    rightLayout->setContentsMargins(0, 0, 0, 0);
    rightLayout->addWidget(new QLabel(tr("Preview of text and tables; HTML has the figures too")));
    rightLayout->addWidget(m_preview, 1);
    auto* splitter = new QSplitter;
    splitter->addWidget(left);
    splitter->addWidget(right);
    splitter->setStretchFactor(1, 1);
    splitter->setSizes({300, 620});
    splitter->setChildrenCollapsible(false);
    auto* buttons = new QDialogButtonBox(QDialogButtonBox::Close);
    auto* saveButton = new QPushButton(themeIcon(QStringLiteral("save")), tr("&Save…"));
    saveButton->setDefault(true);
    buttons->addButton(saveButton, QDialogButtonBox::ActionRole);
    auto* layout = new QVBoxLayout(this);
    layout->addWidget(splitter, 1);
    layout->addWidget(m_saved);
    layout->addWidget(buttons);
    resize(960, 620);

    m_pause->setSingleShot(true);
    m_pause->setInterval(std::chrono::milliseconds(200));
    connect(m_pause, &QTimer::timeout, this, &ReportDialog::refresh);
    const auto later = [this] { m_pause->start(); };
    connect(m_title, &QLineEdit::textChanged, m_pause, later);
    connect(m_author, &QLineEdit::textChanged, m_pause, later);
    connect(m_author, &QLineEdit::editingFinished, this, [this] { Q_EMIT authorChanged(m_author->text()); });
    connect(m_notes, &QPlainTextEdit::textChanged, m_pause, later);
    connect(m_sections, &QListWidget::itemChanged, m_pause, later);
    connect(m_workbench, &Workbench::recipeChanged, m_pause, later);
    connect(buttons, &QDialogButtonBox::rejected, this, &QDialog::reject);
    connect(saveButton, &QPushButton::clicked, this, &ReportDialog::save);
    refresh();
}

quantloupe::ReportOptions ReportDialog::options() const
{
    quantloupe::ReportOptions options;
    options.title = m_title->text().toStdString();
    options.author = m_author->text().toStdString();
    options.notes = m_notes->toPlainText().toStdString();
    options.date = QDate::currentDate().toString(Qt::ISODate).toStdString();
    for (int i = 0; i < m_sections->count(); ++i)
        if (m_sections->item(i)->checkState() == Qt::Checked)
            options.sections.push_back(m_sections->item(i)->data(Qt::UserRole).toString().toStdString());
    // No section ticked is a wish for none; an empty list would mean all.
    if (options.sections.empty())
        options.sections.emplace_back("none");
    options.devices = m_workbench->devices();
    return options;
}

QString ReportDialog::preview() const
{
    return m_preview->toPlainText();
}

void ReportDialog::refresh()
{
    m_workbench->jobs()->compute<std::string>(
        this, {tr("Report preview"), QStringLiteral("report/preview"), false},
        [study = currentStudy(*m_workbench), options = options()](
            std::stop_token, quantloupe::Progress&) -> quantloupe::Result<std::string> {
            return quantloupe::renderMarkdown(quantloupe::buildReport(*study, options));
        },
        [this](const quantloupe::Result<std::string>& text) {
            if (!text)
                return;
            const auto position = m_preview->verticalScrollBar()->value();
            m_preview->setPlainText(previewText(*text));
            m_preview->verticalScrollBar()->setValue(position);
        });
}

QString ReportDialog::saveTo(const QString& path)
{
    const auto study = currentStudy(*m_workbench);
    const auto document = quantloupe::buildReport(*study, options());
    const auto suffix = QFileInfo(path).suffix().toLower();
    std::string content;
    if (suffix == QLatin1String("md"))
        content = quantloupe::renderMarkdown(document);
    else if (suffix == QLatin1String("csv"))
        content = quantloupe::renderCsv(document);
    else if (suffix == QLatin1String("html") || suffix == QLatin1String("htm"))
        content = renderHtml(document, *study).toStdString();
    else
        return tr("%1: a report is .html, .md or .csv").arg(path);
    const auto written = quantloupe::writeFileAtomically(std::filesystem::path(path.toStdU16String()), content);
    if (!written)
        return QString::fromStdString(describe(written.error()));
    m_saved->setText(tr("Saved %1").arg(path));
    m_workbench->jobs()->addLog(m_saved->text());
    return {};
}

void ReportDialog::save()
{
    const auto html = tr("HTML with figures (*.html)");
    const auto markdown = tr("Markdown (*.md)");
    const auto csv = tr("Tables as CSV (*.csv)");
    QString filter = html;
    auto path = QFileDialog::getSaveFileName(this, tr("Save report"), m_path + QStringLiteral(".html"),
        QStringList {html, markdown, csv}.join(QStringLiteral(";;")), &filter);
    if (path.isEmpty())
        return;
    if (QFileInfo(path).suffix().isEmpty())
        path += filter == markdown ? QStringLiteral(".md")
            : filter == csv        ? QStringLiteral(".csv")
                                   : QStringLiteral(".html");
    // Drawing the figures needs this thread.
    QGuiApplication::setOverrideCursor(Qt::WaitCursor);
    const auto error = saveTo(path);
    QGuiApplication::restoreOverrideCursor();
    if (!error.isEmpty())
        m_saved->setText(tr("<b>Not saved:</b> %1").arg(error.toHtmlEscaped()));
}
