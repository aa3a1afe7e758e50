// SPDX-License-Identifier: GPL-3.0-or-later
// The menus: every action with a mnemonic, the common ones with a shortcut.
#include "core/export_targets/export_target.h"
#include "widgets/docks/jobs_dock.h"
#include "widgets/docks/model_dock.h"
#include "widgets/docks/recipe_dock.h"
#include "widgets/docks/scheme_menu.h"
#include "widgets/theme/icons.h"
#include "widgets/window/main_window.h"
#include "widgets/window/start_page.h"
#include "widgets/workbench/workbench.h"

#include <QActionGroup>
#include <QApplication>
#include <QClipboard>
#include <QFileInfo>
#include <QMenuBar>
#include <QTabWidget>
#include <QToolBar>
#include <QWhatsThis>

namespace {

QString text(std::string_view view)
{
    return QString::fromUtf8(view.data(), static_cast<qsizetype>(view.size()));
}

}  // namespace

QAction* MainWindow::addAction(
    QMenu* menu, const QString& icon, const QString& label, const QKeySequence& shortcut, const QString& tip)
{
    auto* action = menu->addAction(label);
    if (!icon.isEmpty())
        action->setIcon(themeIcon(icon));
    if (!shortcut.isEmpty())
        action->setShortcut(shortcut);
    action->setStatusTip(tip);
    const auto keys = shortcut.toString(QKeySequence::NativeText);
    action->setToolTip(keys.isEmpty() ? tip : tr("%1 (%2)").arg(tip, keys));
    return action;
}

void MainWindow::createMenus()
{
    createFileMenu();
    createEditMenu();
    createViewMenu();
    createAnalyzeMenu();
    createRecipeMenu();
    createToolsMenu();
    createHelpMenu();
}

void MainWindow::createFileMenu()
{
    auto* menu = menuBar()->addMenu(tr("&File"));
    m_open = addAction(menu, QStringLiteral("open"), tr("&Open…"), QKeySequence::Open, tr("Open a model or a study"));
    m_open->setIconText(tr("Open"));
    connect(m_open, &QAction::triggered, this, &MainWindow::chooseModel);
    auto* folder = addAction(menu, QStringLiteral("folder"), tr("Open &folder…"), QKeySequence(tr("Ctrl+Shift+O")),
        tr("Open a folder that holds a model"));
    connect(folder, &QAction::triggered, this, &MainWindow::chooseFolder);
    auto* sample = addAction(menu, QStringLiteral("sample"), tr("Open the s&ample"), {},
        tr("Open the bundled language model, trained on short stories"));
    sample->setEnabled(!Workbench::samplePath().isEmpty());
    connect(sample, &QAction::triggered, this, [this] { open(QStringLiteral("sample")); });
    m_recentMenu = menu->addMenu(tr("Open &recent"));
    menu->addSeparator();
    auto* save = addAction(menu, QStringLiteral("save"), tr("Save s&tudy as…"), QKeySequence(tr("Ctrl+Shift+S")),
        tr("Copy what was measured and the recipe to a file; the study also keeps itself"));
    connect(save, &QAction::triggered, this, &MainWindow::saveStudy);
    auto* close =
        addAction(menu, QStringLiteral("close"), tr("&Close model"), QKeySequence(tr("Ctrl+W")), tr("Close the model"));
    connect(close, &QAction::triggered, this, [this] {
        if (mayClose())
            m_workbench->closeModel();
    });
    m_needModel << save << close;
    menu->addSeparator();
    auto* quit = addAction(menu, {}, tr("&Quit"), QKeySequence(tr("Ctrl+Q")), tr("Close the window"));
    quit->setMenuRole(QAction::QuitRole);
    connect(quit, &QAction::triggered, this, &QWidget::close);
}

void MainWindow::createEditMenu()
{
    auto* menu = menuBar()->addMenu(tr("&Edit"));
    auto* undo = m_workbench->undoStack()->createUndoAction(this, tr("&Undo"));
    undo->setShortcut(QKeySequence::Undo);
    undo->setIcon(themeIcon(QStringLiteral("undo")));
    menu->QWidget::addAction(undo);
    auto* redo = m_workbench->undoStack()->createRedoAction(this, tr("&Redo"));
    redo->setShortcuts({QKeySequence(tr("Ctrl+Shift+Z")), QKeySequence(tr("Ctrl+Y"))});
    redo->setIcon(themeIcon(QStringLiteral("redo")));
    menu->QWidget::addAction(redo);
    menu->addSeparator();
    auto* schemes = menu->addMenu(tr("Set &scheme of selection"));
    connect(schemes, &QMenu::aboutToShow, this, [this, schemes] {
        fillSchemeMenu(schemes, *m_workbench, [this](const QString& scheme) {
            if (const auto parsed = quantloupe::Scheme::parse(scheme.toStdString()))
                m_workbench->setScheme(m_workbench->selection(), *parsed);
        });
    });
    auto* keep = addAction(menu, QStringLiteral("pin"), tr("&Keep selection as stored"),
        QKeySequence(tr("Ctrl+Shift+K")), tr("Do not quantize the selected tensors"));
    connect(
        keep, &QAction::triggered, this, [this] { m_workbench->setScheme(m_workbench->selection(), std::nullopt); });
    auto* copy = addAction(menu, QStringLiteral("copy"), tr("&Copy tensor names"), QKeySequence(tr("Ctrl+Shift+C")),
        tr("Copy the names of the selected tensors"));
    connect(copy, &QAction::triggered, this,
        [this] { QApplication::clipboard()->setText(m_workbench->selection().join(u'\n')); });
    m_needSelection << schemes->menuAction() << keep << copy;
    menu->addSeparator();
    auto* find = addAction(menu, QStringLiteral("filter"), tr("&Find tensors"), QKeySequence::Find,
        tr("Filter the model by name, role or scheme"));
    connect(find, &QAction::triggered, m_modelDock, &ModelDock::focusFilter);
    m_needModel << find;
}

void MainWindow::createViewMenu()
{
    auto* menu = menuBar()->addMenu(tr("&View"));
    for (int i = 0; i < m_pages->count(); ++i) {
        auto* action =
            addAction(menu, m_pages->widget(i)->objectName(), tr("&%1  %2").arg(i + 1).arg(m_pages->tabText(i)),
                QKeySequence(tr("Ctrl+%1").arg(i + 1)), tr("Show the page %1").arg(m_pages->tabText(i)));
        connect(action, &QAction::triggered, this, [this, i] { m_pages->setCurrentIndex(i); });
        m_needModel << action;
    }
    menu->addSeparator();
    auto* docks = menu->addMenu(tr("&Panels"));
    const auto toggle = [docks](QAction* action, const QString& label) {
        action->setText(label);
        docks->QWidget::addAction(action);
    };
    toggle(m_modelDock->toggleViewAction(), tr("&Model"));
    toggle(m_recipeDock->toggleViewAction(), tr("&Recipe"));
    toggle(m_jobsDock->toggleViewAction(), tr("&Jobs"));

    auto* themes = menu->addMenu(themeIcon(QStringLiteral("theme")), tr("&Theme"));
    auto* group = new QActionGroup(this);
    const auto addTheme = [&](const QString& icon, const QString& label, ThemeMode mode) {
        auto* action = addAction(themes, icon, label, {}, tr("Colours of the window"));
        action->setCheckable(true);
        action->setChecked(m_settings->theme() == mode);
        group->addAction(action);
        connect(action, &QAction::triggered, this, [this, mode] {
            m_settings->setTheme(mode);
            Theme::instance().setMode(mode);
        });
        // The settings dialog chooses themes too.
        connect(&Theme::instance(), &Theme::changed, action,
            [action, mode] { action->setChecked(Theme::instance().mode() == mode); });
    };
    addTheme({}, tr("Like the &system"), ThemeMode::System);
    addTheme(QStringLiteral("light"), tr("&Light"), ThemeMode::Light);
    addTheme(QStringLiteral("dark"), tr("&Dark"), ThemeMode::Dark);
    menu->addSeparator();
    auto* reset = addAction(menu, QStringLiteral("reset-view"), tr("Reset &layout"), {},
        tr("Put panels and tool bar where they were at first"));
    connect(reset, &QAction::triggered, this, &MainWindow::resetLayout);
    auto* full = addAction(menu, {}, tr("&Full screen"), QKeySequence(Qt::Key_F11), tr("Fill the screen"));
    full->setCheckable(true);
    connect(full, &QAction::triggered, this, [this](bool on) { on ? showFullScreen() : showNormal(); });
}

void MainWindow::createAnalyzeMenu()
{
    auto* menu = menuBar()->addMenu(tr("&Analyze"));
    m_analyze = addAction(menu, QStringLiteral("analyze"), tr("&Analyze model"), QKeySequence(Qt::Key_F5),
        tr("Measure every tensor under every scheme of the sweep; what is known is not measured again"));
    m_analyze->setIconText(tr("Analyze"));
    connect(m_analyze, &QAction::triggered, this, [this] { m_workbench->analyze(); });
    auto* first = addAction(menu, QStringLiteral("layer"), tr("Analyze &selection first"), QKeySequence(tr("Shift+F5")),
        tr("Measure the selected tensors before all others"));
    connect(first, &QAction::triggered, this,
        [this] { m_workbench->analyze(m_workbench->selection(), m_workbench->sweep()); });
    m_needSelection << first;
    m_stop = addAction(menu, QStringLiteral("cancel"), tr("S&top"), QKeySequence(tr("Ctrl+.")),
        tr("Stop measuring; what is finished is kept"));
    connect(m_stop, &QAction::triggered, m_workbench, &Workbench::cancelAnalysis);
    menu->addSeparator();
    auto* sweep = addAction(menu, QStringLiteral("sensitivity"), tr("S&chemes of the sweep…"), {},
        tr("Choose the schemes that every tensor is measured under"));
    connect(sweep, &QAction::triggered, this, &MainWindow::editSweep);
    menu->addSeparator();
    auto* calibrate = addAction(menu, {}, tr("Ca&librate on text…"), {},
        tr("Run the model on text and keep what goes into each layer, for algorithms and output errors"));
    connect(calibrate, &QAction::triggered, this, &MainWindow::calibrateOnText);
    auto* rank = addAction(menu, {}, tr("&Rank layers by text…"), QKeySequence(tr("Ctrl+Shift+R")),
        tr("Measure what quantizing each layer alone does to the model's predictions"));
    connect(rank, &QAction::triggered, this, &MainWindow::rankLayersByText);
    auto* evaluate = addAction(menu, {}, tr("&Evaluate the recipe on text…"), QKeySequence(tr("Ctrl+T")),
        tr("Perplexity, and how far the recipe's predictions are from the model as stored"));
    connect(evaluate, &QAction::triggered, this, &MainWindow::evaluateOnText);
    m_needModel << calibrate << rank << evaluate;
}

void MainWindow::createRecipeMenu()
{
    auto* menu = menuBar()->addMenu(tr("&Recipe"));
    auto* load = addAction(
        menu, QStringLiteral("import"), tr("&Load…"), QKeySequence(tr("Ctrl+L")), tr("Load a recipe from a file"));
    connect(load, &QAction::triggered, this, &MainWindow::loadRecipe);
    auto* save =
        addAction(menu, QStringLiteral("save"), tr("&Save…"), QKeySequence::Save, tr("Save the recipe to a file"));
    connect(save, &QAction::triggered, this, &MainWindow::saveRecipe);
    menu->addSeparator();
    auto* uniform = addAction(menu, QStringLiteral("recipe"), tr("&Begin anew"), {},
        tr("One scheme for all but the output head: the default scheme, without rules"));
    connect(uniform, &QAction::triggered, this, [this] {
        const auto scheme = m_workbench->recipe().defaultPlan.weights;
        m_workbench->setRecipe(quantloupe::Recipe::uniform(scheme, m_workbench->catalog()), tr("Begin anew"));
    });
    auto* tidy = addAction(menu, {}, tr("&Tidy rules"), {}, tr("Remove rules that change nothing"));
    connect(tidy, &QAction::triggered, this, &MainWindow::tidyRecipe);
    menu->addSeparator();
    m_export = addAction(menu, QStringLiteral("export"), tr("&Export…"), QKeySequence(tr("Ctrl+E")),
        tr("Write the recipe for another tool"));
    m_export->setIconText(tr("Export"));
    connect(m_export, &QAction::triggered, this, [this] { exportRecipe(); });
    m_exportMenu = menu->addMenu(tr("Export &for"));
    for (const auto* target : quantloupe::exportTargets()) {
        auto* action = addAction(m_exportMenu, {}, text(target->title), {}, text(target->description));
        connect(action, &QAction::triggered, this, [this, name = text(target->name)] { exportRecipe(name); });
    }
    m_needModel << load << save << uniform << tidy << m_export << m_exportMenu->menuAction();
}

void MainWindow::createToolsMenu()
{
    auto* menu = menuBar()->addMenu(tr("&Tools"));
    m_report = addAction(menu, QStringLiteral("report"), tr("&Report…"), QKeySequence(tr("Ctrl+R")),
        tr("Make a report that can be read without this program"));
    m_report->setIconText(tr("Report"));
    connect(m_report, &QAction::triggered, this, &MainWindow::makeReport);
    m_needModel << m_report;
    auto* palette = addAction(menu, QStringLiteral("search"), tr("&Find an action or a layer…"),
        QKeySequence(tr("Ctrl+K")), tr("Type what you look for"));
    connect(palette, &QAction::triggered, this, &MainWindow::showPalette);
    menu->addSeparator();
    auto* settings = addAction(menu, QStringLiteral("settings"), tr("&Settings…"), QKeySequence(tr("Ctrl+,")),
        tr("Theme, threads, default scheme"));
    settings->setMenuRole(QAction::PreferencesRole);
    connect(settings, &QAction::triggered, this, &MainWindow::editSettings);
}

void MainWindow::createHelpMenu()
{
    auto* menu = menuBar()->addMenu(tr("&Help"));
    auto* whatsThis = addAction(menu, QStringLiteral("help"), tr("&What is this?"), QKeySequence(tr("Shift+F1")),
        tr("Click on something to learn what it means"));
    connect(whatsThis, &QAction::triggered, this, [] { QWhatsThis::enterWhatsThisMode(); });
    auto* notation = addAction(
        menu, QStringLiteral("info"), tr("Scheme &notation"), QKeySequence(Qt::Key_F1), tr("How schemes are written"));
    connect(notation, &QAction::triggered, this, &MainWindow::showSchemeHelp);
    menu->addSeparator();
    auto* about = addAction(menu, {}, tr("&About Quantloupe"), {}, tr("Version, licence, processor"));
    about->setMenuRole(QAction::AboutRole);
    connect(about, &QAction::triggered, this, &MainWindow::showAbout);
    auto* aboutQt = addAction(menu, {}, tr("About &Qt"), {}, tr("The toolkit of this window"));
    aboutQt->setMenuRole(QAction::AboutQtRole);
    connect(aboutQt, &QAction::triggered, qApp, &QApplication::aboutQt);
}

void MainWindow::updateRecentFiles()
{
    const auto files = m_settings->recentFiles();
    m_start->setRecentFiles(files);
    m_recentMenu->clear();
    int number = 0;
    for (const auto& file : files) {
        const auto name = Workbench::displayName(file.path).replace(u'&', QStringLiteral("&&"));
        auto* action = addAction(m_recentMenu, {}, tr("&%1  %2").arg(++number % 10).arg(name), {}, file.path);
        connect(action, &QAction::triggered, this, [this, path = file.path] { open(path); });
    }
    m_recentMenu->addSeparator();
    auto* clear = addAction(m_recentMenu, {}, tr("&Clear this list"), {}, tr("Forget the recent files"));
    connect(clear, &QAction::triggered, this, [this] {
        m_settings->clearRecentFiles();
        updateRecentFiles();
    });
    m_recentMenu->setEnabled(!files.isEmpty());
}
