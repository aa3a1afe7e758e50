// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/window/main_window.h"

#include "core/export_targets/export_target.h"
#include "widgets/docks/jobs_dock.h"
#include "widgets/docks/model_dock.h"
#include "widgets/docks/recipe_dock.h"
#include "widgets/docks/scheme_editor.h"
#include "widgets/support/format_text.h"
#include "widgets/theme/icons.h"
#include "widgets/window/budget_slider.h"
#include "widgets/window/message_bar.h"
#include "widgets/window/page_list.h"
#include "widgets/window/session_mark.h"
#include "widgets/window/start_page.h"
#include "widgets/workbench/workbench.h"

#include <QCloseEvent>
#include <QComboBox>
#include <QFileInfo>
#include <QLabel>
#include <QMenu>
#include <QMimeData>
#include <QStackedWidget>
#include <QStatusBar>
#include <QTabWidget>
#include <QToolBar>
#include <QToolButton>
#include <QVBoxLayout>

#include <algorithm>
#include <map>

namespace {

/// The dtype that most bytes are stored in, e.g. "BF16".
QString mainDType(const quantloupe::ModelCatalog& catalog)
{
    std::map<quantloupe::DType, std::uint64_t> bytes;
    for (const auto& tensor : catalog.tensors)
        bytes[tensor.dtype] += tensor.bytes;
    const auto most =
        std::max_element(bytes.begin(), bytes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    if (most == bytes.end())
        return {};
    const auto name = quantloupe::traitsOf(most->first).name;
    return QString::fromUtf8(name.data(), static_cast<qsizetype>(name.size()));
}

}  // namespace

MainWindow::MainWindow(QWidget* parent)
    : QMainWindow(parent)
    , m_settings(std::make_unique<AppSettings>())
    , m_workbench(new Workbench(this))
    , m_session(std::make_unique<SessionMark>(Workbench::dataFolder()))
{
    setObjectName(QStringLiteral("mainWindow"));
    setWindowTitle(tr("Quantloupe"));
    setAcceptDrops(true);
    setDockNestingEnabled(true);
    setDocumentMode(true);
    m_workbench->setInitialScheme(m_settings->initialScheme());
    m_workbench->jobs()->setThreads(m_settings->threads());
    if (auto sweep = m_settings->sweep())
        m_workbench->setSweep(*sweep);

    createPages();
    createDocks();
    createMenus();
    createToolBar();
    setWindowIcon(QIcon(QStringLiteral(":/application/io.github.quantloupe.Quantloupe.svg")));
    m_modelText = new QLabel;
    m_modelText->setObjectName(QStringLiteral("modelText"));
    m_jobText = new QLabel;
    statusBar()->addWidget(m_modelText, 1);
    statusBar()->addPermanentWidget(m_jobText);

    connect(m_workbench, &Workbench::opening, this, [this](const QString& path) {
        m_messageBar->hide();
        m_jobText->setText(tr("Opening %1").arg(Workbench::displayName(path)));
    });
    connect(m_workbench, &Workbench::modelChanged, this, &MainWindow::onModelChanged);
    connect(m_workbench, &Workbench::recipeChanged, this, [this] {
        updateSchemeEditor();
        updateStatus();
    });
    connect(m_workbench, &Workbench::selectionChanged, this, [this] {
        updateSchemeEditor();
        updateEnabled();
    });
    connect(m_workbench, &Workbench::analysisChanged, this, &MainWindow::updateEnabled);
    connect(m_workbench, &Workbench::layerRequested, this, [this] { showPage(QStringLiteral("layer")); });
    connect(
        m_workbench, &Workbench::studyChanged, this, [this] { m_scheme->setCalibration(m_workbench->calibration()); });
    connect(m_workbench, &Workbench::failed, this, [this](const QString& title, const QString& details) {
        m_messageBar->showFailure(title, details);
        updateStatus();
    });
    connect(m_workbench->undoStack(), &QUndoStack::cleanChanged, this, &MainWindow::updateTitle);
    connect(m_workbench->jobs(), &JobList::jobChanged, this, [this](const Job* job) {
        if (!m_workbench->jobs()->jobs().contains(job))
            return;
        QString text;
        if (job->state() == Job::State::Running)
            text = job->fraction() >= 0.0 ? tr("%1: %2").arg(job->title(), format::percent(job->fraction()))
                                          : job->title();
        m_jobText->setText(text);
    });

    resize(1360, 860);
    resizeDocks({m_modelDock, m_recipeDock}, {370, 290}, Qt::Horizontal);
    resizeDocks({m_jobsDock}, {110}, Qt::Vertical);
    m_defaultState = saveState();
    restoreGeometry(m_settings->geometry());
    restoreState(m_settings->windowState());
    onModelChanged();
}

MainWindow::~MainWindow()
{
    // Before the widgets go: jobs end and signal while everything they reach still stands.
    m_workbench->disconnect(this);
    m_workbench->undoStack()->disconnect(this);
    m_workbench->jobs()->disconnect(this);
}

void MainWindow::createPages()
{
    m_start = new StartPage(!Workbench::samplePath().isEmpty());
    connect(m_start, &StartPage::openRequested, this, &MainWindow::chooseModel);
    connect(m_start, &StartPage::openFolderRequested, this, &MainWindow::chooseFolder);
    connect(m_start, &StartPage::sampleRequested, m_workbench, &Workbench::openSample);
    connect(m_start, &StartPage::fileRequested, this, &MainWindow::open);
    connect(m_start, &StartPage::forgetRequested, this, [this](const QString& path) {
        m_settings->removeRecentFile(path);
        updateRecentFiles();
    });

    m_pages = new QTabWidget;
    m_pages->setDocumentMode(true);
    for (const auto& entry : pageList()) {
        auto* page = entry.create(m_workbench);
        page->setObjectName(entry.name);
        m_pages->addTab(page, themeIcon(entry.icon), entry.title());
    }
    connect(m_pages, &QTabWidget::currentChanged, this, &MainWindow::onPageChanged);
    m_stack = new QStackedWidget;
    m_stack->addWidget(m_start);
    m_stack->addWidget(m_pages);
    m_messageBar = new MessageBar;
    auto* content = new QWidget;
    auto* layout = new QVBoxLayout(content);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->setSpacing(0);
    layout->addWidget(m_messageBar);
    layout->addWidget(m_stack, 1);
    setCentralWidget(content);
}

void MainWindow::createDocks()
{
    m_modelDock = new ModelDock(m_workbench, this);
    m_recipeDock = new RecipeDock(m_workbench, this);
    m_jobsDock = new JobsDock(m_workbench->jobs(), this);
    addDockWidget(Qt::LeftDockWidgetArea, m_modelDock);
    addDockWidget(Qt::RightDockWidgetArea, m_recipeDock);
    addDockWidget(Qt::BottomDockWidgetArea, m_jobsDock);
    connect(m_recipeDock, &RecipeDock::loadRequested, this, &MainWindow::loadRecipe);
    connect(m_recipeDock, &RecipeDock::saveRequested, this, &MainWindow::saveRecipe);
}

void MainWindow::createToolBar()
{
    m_toolBar = addToolBar(tr("Main tools"));
    m_toolBar->setObjectName(QStringLiteral("mainToolBar"));
    m_toolBar->setMovable(false);
    m_toolBar->setToolButtonStyle(Qt::ToolButtonTextBesideIcon);
    m_toolBar->setIconSize({18, 18});
    m_toolBar->addAction(m_open);
    m_toolBar->addSeparator();

    m_target = new QComboBox;
    m_target->setObjectName(QStringLiteral("schemeTarget"));
    m_target->addItem(tr("Default"));
    m_target->addItem(tr("Selection"));
    m_target->setAccessibleName(tr("What the scheme is for"));
    m_target->setToolTip(
        tr("What the scheme beside it is for: every tensor without a rule of its own, or the selected ones."));
    m_target->setSizeAdjustPolicy(QComboBox::AdjustToContents);
    m_toolBar->addWidget(m_target);
    m_scheme = new SchemeEditor;
    m_scheme->setObjectName(QStringLiteral("schemeEditor"));
    m_toolBar->addWidget(m_scheme);
    connect(m_target, &QComboBox::activated, this, [this] { updateSchemeEditor(); });
    connect(m_scheme, &SchemeEditor::edited, this, &MainWindow::applyEditedScheme);
    m_toolBar->addSeparator();
    m_toolBar->addAction(m_analyze);
    m_toolBar->addSeparator();
    m_budget = new BudgetSlider(m_workbench);
    m_toolBar->addWidget(m_budget);
    m_toolBar->addSeparator();
    m_toolBar->addAction(m_export);
    if (auto* button = qobject_cast<QToolButton*>(m_toolBar->widgetForAction(m_export))) {
        button->setMenu(m_exportMenu);
        button->setPopupMode(QToolButton::MenuButtonPopup);
    }
    m_toolBar->addAction(m_report);
}

QStringList MainWindow::pageNames() const
{
    QStringList names;
    for (int i = 0; i < m_pages->count(); ++i)
        names << m_pages->widget(i)->objectName();
    return names;
}

bool MainWindow::showPage(const QString& name)
{
    const auto index = pageNames().indexOf(name);
    if (index < 0)
        return false;
    m_pages->setCurrentIndex(static_cast<int>(index));
    return true;
}

void MainWindow::onPageChanged()
{
    // Who turns to the Layer page wants to see a layer: the first one, until another is chosen.
    const auto* page = m_pages->currentWidget();
    if (!m_workbench->hasModel() || page == nullptr || page->objectName() != QLatin1String("layer")
        || !m_workbench->selection().isEmpty())
        return;
    const auto& tensors = m_workbench->catalog().tensors;
    const auto first = std::find_if(tensors.begin(), tensors.end(),
        [](const auto& tensor) { return tensor.quantizable && tensor.parts.block.has_value(); });
    if (first != tensors.end())
        m_workbench->select({QString::fromStdString(first->name)});
}

void MainWindow::open(const QString& path)
{
    if (!mayClose())
        return;
    if (path == QLatin1String("sample"))
        m_workbench->openSample();
    else
        m_workbench->openModel(path);
}

void MainWindow::onModelChanged()
{
    const auto isOpen = m_workbench->hasModel();
    m_stack->setCurrentWidget(isOpen ? static_cast<QWidget*>(m_pages) : m_start);
    m_session->setModel(m_workbench->modelPath());
    if (isOpen)
        rememberFile();
    updateRecentFiles();
    updateSchemeEditor();
    updateEnabled();
    updateTitle();
    updateStatus();
    onPageChanged();
}

void MainWindow::rememberFile()
{
    const auto& catalog = m_workbench->catalog();
    m_settings->setFolder(QFileInfo(m_workbench->modelPath()).absolutePath());
    if (m_workbench->isSample())
        return;
    m_settings->addRecentFile({m_workbench->modelPath(), QString::fromStdString(catalog.config.architecture),
        mainDType(catalog), catalog.parameters(), catalog.bytes(), QDateTime::currentDateTime()});
}

void MainWindow::updateEnabled()
{
    const auto isOpen = m_workbench->hasModel();
    for (auto* action : std::as_const(m_needModel))
        action->setEnabled(isOpen);
    for (auto* action : std::as_const(m_needSelection))
        action->setEnabled(isOpen && !m_workbench->selection().isEmpty());
    // A study without its model cannot be measured further.
    m_analyze->setEnabled(m_workbench->model() && !m_workbench->isAnalyzing());
    m_stop->setEnabled(m_workbench->isAnalyzing());
}

void MainWindow::updateTitle()
{
    if (!m_workbench->hasModel()) {
        setWindowTitle(tr("Quantloupe"));
        setWindowModified(false);
        return;
    }
    const auto name = m_workbench->isSample() ? tr("Sample") : Workbench::displayName(m_workbench->modelPath());
    setWindowTitle(tr("%1[*] – Quantloupe").arg(name));
    setWindowModified(m_workbench->recipeUnsaved());
}

void MainWindow::updateStatus()
{
    const auto isOpen = m_workbench->hasModel();
    if (!isOpen) {
        m_modelText->setText(tr("No model open"));
        return;
    }
    const auto& catalog = m_workbench->catalog();
    const auto& plan = m_workbench->plan();
    auto name = m_workbench->isSample() ? tr("Sample") : Workbench::displayName(m_workbench->modelPath());
    if (catalog.synthetic)
        name = tr("%1 (synthetic)").arg(name);
    m_modelText->setText(
        tr("%1 · %2 parameters · %3 %4 → %5 (%6)")
            .arg(name, format::count(catalog.parameters()), mainDType(catalog), format::bytes(plan.baseBytes),
                format::bytes(plan.bytes), format::bitsPerWeight(plan.bitsPerWeight)));
}

void MainWindow::updateSchemeEditor()
{
    const auto selected = m_workbench->selection().size();
    m_target->setItemText(1, selected == 1 ? tr("Selected tensor") : tr("%1 selected").arg(selected));
    m_target->setEnabled(m_workbench->hasModel());
    m_scheme->setEnabled(m_workbench->hasModel());
    if (selected == 0)
        m_target->setCurrentIndex(0);
    else if (sender() == m_workbench && m_target->property("selected").toLongLong() == 0)
        m_target->setCurrentIndex(1);  // a selection just began: that is what the hand is on
    m_target->setProperty("selected", static_cast<qlonglong>(selected));
    const auto& fallback = m_workbench->recipe().defaultPlan.weights;
    const auto scheme = m_target->currentIndex() == 1 ? m_workbench->schemeOf(m_workbench->currentTensor()) : fallback;
    m_scheme->setCalibration(m_workbench->calibration());
    m_scheme->setScheme(scheme.value_or(fallback));
}

void MainWindow::applyEditedScheme(const quantloupe::Scheme& scheme)
{
    if (m_target->currentIndex() == 1)
        m_workbench->setScheme(m_workbench->selection(), scheme);
    else
        m_workbench->setDefaultScheme(scheme);
}

void MainWindow::offerLastSession()
{
    const auto path = SessionMark::takeCrashed(Workbench::dataFolder());
    if (path.isEmpty() || m_workbench->hasModel() || m_workbench->isOpening())
        return;
    m_messageBar->showOffer(tr("Quantloupe did not close properly last time"),
        tr("%1 was open. What had been measured and the recipe are kept.").arg(path), tr("Go on"),
        [this, path] { open(path); });
}

void MainWindow::resetLayout()
{
    restoreState(m_defaultState);
}

void MainWindow::closeEvent(QCloseEvent* event)
{
    if (!mayClose()) {
        event->ignore();
        return;
    }
    m_settings->setWindow(saveGeometry(), saveState());
    event->accept();
}

void MainWindow::dragEnterEvent(QDragEnterEvent* event)
{
    const auto urls = event->mimeData()->urls();
    if (urls.size() == 1 && urls.first().isLocalFile())
        event->acceptProposedAction();
}

void MainWindow::dropEvent(QDropEvent* event)
{
    const auto urls = event->mimeData()->urls();
    if (urls.size() != 1 || !urls.first().isLocalFile())
        return;
    event->acceptProposedAction();
    const auto path = urls.first().toLocalFile();
    if (path.endsWith(QLatin1String(".recipe.json"))) {
        if (const auto error = m_workbench->loadRecipe(path); !error.isEmpty())
            m_workbench->reportFailure(tr("The recipe was not loaded"), error);
        return;
    }
    open(path);
}
