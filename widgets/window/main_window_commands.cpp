// SPDX-License-Identifier: GPL-3.0-or-later
// What the window's actions do.
#include "core/file_formats/file_format.h"
#include "core/recipes/edit.h"
#include "widgets/dialogs/about_dialog.h"
#include "widgets/dialogs/calibrating_dialog.h"
#include "widgets/dialogs/calibration_dialog.h"
#include "widgets/dialogs/evaluate_dialog.h"
#include "widgets/dialogs/evaluation_dialog.h"
#include "widgets/dialogs/export_dialog.h"
#include "widgets/dialogs/report_dialog.h"
#include "widgets/dialogs/scheme_help_dialog.h"
#include "widgets/dialogs/settings_dialog.h"
#include "widgets/dialogs/sweep_dialog.h"
#include "widgets/dialogs/text_dialog.h"
#include "widgets/pages/qat_page.h"
#include "widgets/window/command_palette.h"
#include "widgets/window/main_window.h"
#include "widgets/workbench/workbench.h"

#include <QFileDialog>
#include <QMenuBar>
#include <QMessageBox>
#include <QPushButton>
#include <QRegularExpression>

#include <algorithm>

namespace {

/// Leaf actions of a menu with the way to them: "File › Open recent › 1  model".
void collectActions(const QMenu* menu, const QString& way, QList<CommandPalette::Entry>& entries)
{
    for (auto* action : menu->actions()) {
        auto label = action->text().remove(u'&');
        label.remove(u'…');
        if (action->isSeparator() || label.isEmpty())
            continue;
        const auto text = way + QStringLiteral(" › ") + label;
        if (action->menu())
            collectActions(action->menu(), text, entries);
        else
            entries << CommandPalette::Entry {text, action->shortcut().toString(QKeySequence::NativeText),
                action->isEnabled(), [action] { action->trigger(); }};
    }
}

/// "*.safetensors *.gguf …": what the readers say of themselves, and studies.
QString modelPatterns()
{
    QStringList patterns {QStringLiteral("*.index.json"), QStringLiteral("*.h5")};
    for (const auto* format : quantloupe::fileFormats())
        for (const auto& extension : QString::fromUtf8(format->extensions.data(), qsizetype(format->extensions.size()))
                                         .split(u' ', Qt::SkipEmptyParts))
            patterns << QStringLiteral("*.") + extension;
    patterns.removeDuplicates();
    return patterns.join(u' ');
}

}  // namespace

QString MainWindow::suggestedPath(const QString& suffix) const
{
    static const QRegularExpression suffixes(QStringLiteral("\\.(safetensors|gguf|h5|index\\.json)$"));
    const auto name = Workbench::displayName(m_workbench->modelPath()).remove(suffixes);
    const auto folder = QFileInfo(m_settings->folder()).isWritable() ? m_settings->folder() : QDir::homePath();
    return QStringLiteral("%1/%2%3").arg(folder, name, suffix);
}

void MainWindow::chooseModel()
{
    const auto path = QFileDialog::getOpenFileName(this, tr("Open a model or a study"), m_settings->folder(),
        tr("Models and studies (%1);;All files (*)").arg(modelPatterns()));
    if (!path.isEmpty())
        open(path);
}

void MainWindow::chooseFolder()
{
    const auto path =
        QFileDialog::getExistingDirectory(this, tr("Open a folder that holds a model"), m_settings->folder());
    if (!path.isEmpty())
        open(path);
}

void MainWindow::saveStudy()
{
    const auto path = QFileDialog::getSaveFileName(
        this, tr("Save study as"), suggestedPath(QStringLiteral(".h5")), tr("Studies (*.h5)"));
    if (!path.isEmpty())
        m_workbench->saveStudyAs(path);
}

bool MainWindow::saveRecipe()
{
    const auto path = QFileDialog::getSaveFileName(
        this, tr("Save recipe"), suggestedPath(QStringLiteral(".recipe.json")), tr("Recipes (*.recipe.json)"));
    if (path.isEmpty())
        return false;
    const auto error = m_workbench->saveRecipe(path);
    if (!error.isEmpty()) {
        m_workbench->reportFailure(tr("The recipe was not saved"), error);
        return false;
    }
    updateTitle();
    return true;
}

void MainWindow::loadRecipe()
{
    const auto path = QFileDialog::getOpenFileName(
        this, tr("Load recipe"), m_settings->folder(), tr("Recipes (*.recipe.json *.json);;All files (*)"));
    if (path.isEmpty())
        return;
    if (const auto error = m_workbench->loadRecipe(path); !error.isEmpty())
        m_workbench->reportFailure(tr("The recipe was not loaded"), error);
}

void MainWindow::tidyRecipe()
{
    m_workbench->setRecipe(quantloupe::simplified(m_workbench->recipe(), m_workbench->catalog()), tr("Tidy rules"));
}

void MainWindow::exportRecipe(const QString& target)
{
    auto* dialog = new ExportDialog(m_workbench, target, suggestedPath({}), this);
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    dialog->open();
}

void MainWindow::makeReport()
{
    auto* dialog = new ReportDialog(m_workbench, m_settings->author(), suggestedPath(QStringLiteral("-report")), this);
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    connect(
        dialog, &ReportDialog::authorChanged, this, [this](const QString& author) { m_settings->setAuthor(author); });
    dialog->open();
}

void MainWindow::editSettings()
{
    auto* dialog = new SettingsDialog({m_settings->theme(), m_settings->threads(), m_settings->initialScheme()}, this);
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    connect(dialog, &QDialog::accepted, this, [this, dialog] {
        const auto choice = dialog->choice();
        m_settings->setTheme(choice.theme);
        m_settings->setThreads(choice.threads);
        m_settings->setInitialScheme(choice.initialScheme);
        Theme::instance().setMode(choice.theme);
        m_workbench->jobs()->setThreads(choice.threads);
        m_workbench->setInitialScheme(choice.initialScheme);
    });
    dialog->open();
}

void MainWindow::editSweep()
{
    auto* dialog = new SweepDialog(m_workbench->sweep(), this);
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    connect(dialog, &QDialog::accepted, this, [this, dialog] {
        m_settings->setSweep(dialog->schemes());
        m_workbench->setSweep(dialog->schemes());
    });
    dialog->open();
}

void MainWindow::askForText(
    const QString& title, const QString& what, int tokens, const std::function<void(const QString&, std::size_t)>& run)
{
    auto* dialog = new TextDialog(title, what, m_workbench->offeredText(), tokens, this);
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    connect(dialog, &QDialog::accepted, this, [dialog, run] { run(dialog->file(), dialog->tokens()); });
    dialog->open();
}

void MainWindow::calibrateOnText()
{
    auto* dialog = new CalibrationDialog(m_workbench->catalog(), m_workbench->offeredText(), 16'384, this);
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    connect(dialog, &QDialog::accepted, this, [this, dialog] {
        if (const auto run = m_workbench->calibrate(dialog->file(), dialog->tokens(), dialog->gradients()))
            (new CalibratingDialog(*run, this))->show();
    });
    dialog->open();
}

void MainWindow::rankLayersByText()
{
    askForText(tr("Rank layers by text"),
        tr("Quantizes one layer at a time and measures how far the model's predictions move. Calibrates first where "
           "that was not done. The Sensitivity and Trade-off pages then go by the predictions."),
        4'096, [this](const QString& file, std::size_t tokens) { m_workbench->rankLayers(file, tokens); });
}

void MainWindow::evaluateOnText()
{
    const auto& tensors = m_workbench->plan().tensors;
    const bool smooths = std::any_of(tensors.begin(), tensors.end(), [](const quantloupe::PlannedTensor& tensor) {
        return tensor.scheme && tensor.activations
            && std::ranges::count(tensor.scheme->algorithms, quantloupe::Algorithm::Smooth) > 0;
    });
    auto* dialog = new EvaluateDialog(smooths, m_workbench->offeredText(), 8'192, this);
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    connect(dialog, &QDialog::accepted, this, [this, dialog] {
        const auto recipe = tr("The recipe (default %1)")
                                .arg(QString::fromStdString(m_workbench->recipe().defaultPlan.weights.toString()));
        if (const auto run = m_workbench->evaluateRecipe(dialog->file(), dialog->tokens(), dialog->alpha()))
            (new EvaluationDialog(*run, recipe, this))->show();
    });
    dialog->open();
}

void MainWindow::showPalette()
{
    QList<CommandPalette::Entry> entries;
    for (auto* top : menuBar()->actions())
        if (top->menu())
            collectActions(top->menu(), top->text().remove(u'&'), entries);
    for (const auto& tensor : m_workbench->catalog().tensors) {
        const auto name = QString::fromStdString(tensor.name);
        entries << CommandPalette::Entry {name, {}, true, [this, name] { m_workbench->openLayer(name); }};
    }
    auto* palette = new CommandPalette(entries, this);
    palette->setAttribute(Qt::WA_DeleteOnClose);
    palette->open();
}

void MainWindow::showSchemeHelp()
{
    auto* dialog = new SchemeHelpDialog(this);
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    dialog->show();
}

void MainWindow::showAbout()
{
    auto* dialog = new AboutDialog(this);
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    dialog->open();
}

bool MainWindow::mayClose()
{
    if (const auto* page = findChild<QatPage*>(); page && page->holdsUnsavedTraining()) {
        QMessageBox box(QMessageBox::Question, tr("Quantloupe"), tr("A training is in no file."),
            QMessageBox::Discard | QMessageBox::Cancel, this);
        box.setInformativeText(tr("The QAT page can save what was trained as a checkpoint."));
        box.setDefaultButton(QMessageBox::Cancel);
        if (box.exec() != QMessageBox::Discard)
            return false;
    }
    if (!m_workbench->recipeUnsaved())
        return true;
    QMessageBox box(QMessageBox::Question, tr("Quantloupe"), tr("The recipe has changes that no file holds."),
        QMessageBox::Cancel, this);
    box.setInformativeText(tr("The study keeps them: they are there again when this model is opened."));
    auto* save = box.addButton(tr("&Save recipe…"), QMessageBox::AcceptRole);
    auto* keep = box.addButton(tr("&Keep in study"), QMessageBox::DestructiveRole);
    box.setDefaultButton(save);
    box.exec();
    if (box.clickedButton() == save)
        return saveRecipe();
    return box.clickedButton() == keep;
}
