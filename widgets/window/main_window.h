// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "widgets/window/app_settings.h"

#include <QMainWindow>

#include <functional>
#include <memory>

class BudgetSlider;
class JobsDock;
class MessageBar;
class ModelDock;
class QComboBox;
class QLabel;
class QMenu;
class QStackedWidget;
class QTabWidget;
class RecipeDock;
class SchemeEditor;
class SessionMark;
class StartPage;
class Workbench;

/// The window: menus, tool bar, docks, pages, status. Puts together what others do; decides nothing about numbers.
class MainWindow final : public QMainWindow
{
    Q_OBJECT
public:
    explicit MainWindow(QWidget* parent = nullptr);
    ~MainWindow() override;

    Workbench* workbench() const { return m_workbench; }
    ModelDock* modelDock() const { return m_modelDock; }
    RecipeDock* recipeDock() const { return m_recipeDock; }
    JobsDock* jobsDock() const { return m_jobsDock; }
    MessageBar* messageBar() const { return m_messageBar; }
    BudgetSlider* budget() const { return m_budget; }
    QTabWidget* pages() const { return m_pages; }
    QStringList pageNames() const;  ///< "overview", "layer", … for --page

    /// A path, or "sample".
    void open(const QString& path);
    /// By name of pageNames(). Whether there is such a page.
    bool showPage(const QString& name);
    /// Offers to go on with what was open when the program died, if it did.
    void offerLastSession();
    void resetLayout();

protected:
    void closeEvent(QCloseEvent* event) override;
    void dragEnterEvent(QDragEnterEvent* event) override;
    void dropEvent(QDropEvent* event) override;

private:
    void createPages();
    void createDocks();
    void createToolBar();
    // One per menu, in main_window_menus.cpp.
    void createMenus();
    void createFileMenu();
    void createEditMenu();
    void createViewMenu();
    void createAnalyzeMenu();
    void createRecipeMenu();
    void createToolsMenu();
    void createHelpMenu();
    QAction* addAction(
        QMenu* menu, const QString& icon, const QString& text, const QKeySequence& shortcut, const QString& tip);

    void onModelChanged();
    void onPageChanged();
    void updateEnabled();
    void updateTitle();
    void updateStatus();
    void updateSchemeEditor();
    void updateRecentFiles();
    void rememberFile();
    void applyEditedScheme(const quantloupe::Scheme& scheme);

    // Commands, in main_window_commands.cpp.
    void chooseModel();
    void chooseFolder();
    void saveStudy();
    bool saveRecipe();  ///< false when the user gave up
    void loadRecipe();
    void tidyRecipe();
    void exportRecipe(const QString& target = {});
    void makeReport();
    void editSettings();
    void editSweep();
    void calibrateOnText();
    void rankLayersByText();
    void evaluateOnText();
    void askForText(const QString& title, const QString& what, int tokens,
        const std::function<void(const QString&, std::size_t)>& run);
    void showPalette();
    void showSchemeHelp();
    void showAbout();
    bool mayClose();
    QString suggestedPath(const QString& suffix) const;

    std::unique_ptr<AppSettings> m_settings;
    Workbench* m_workbench;
    std::unique_ptr<SessionMark> m_session;
    QStackedWidget* m_stack = nullptr;
    StartPage* m_start = nullptr;
    QTabWidget* m_pages = nullptr;
    MessageBar* m_messageBar = nullptr;
    ModelDock* m_modelDock = nullptr;
    RecipeDock* m_recipeDock = nullptr;
    JobsDock* m_jobsDock = nullptr;
    QToolBar* m_toolBar = nullptr;
    QComboBox* m_target = nullptr;  // what the scheme editor edits: default or selection
    SchemeEditor* m_scheme = nullptr;
    BudgetSlider* m_budget = nullptr;
    QLabel* m_modelText = nullptr;  // in the status bar
    QLabel* m_jobText = nullptr;
    QMenu* m_recentMenu = nullptr;
    QMenu* m_exportMenu = nullptr;
    QAction* m_open = nullptr;
    QAction* m_analyze = nullptr;
    QAction* m_stop = nullptr;
    QAction* m_export = nullptr;
    QAction* m_report = nullptr;
    QList<QAction*> m_needModel;  // on while a model is open
    QList<QAction*> m_needSelection;
    QByteArray m_defaultState;
};
