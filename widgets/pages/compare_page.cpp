// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/pages/compare_page.h"

#include "core/base/atomic_file.h"
#include "core/file_formats/file_format.h"
#include "widgets/models/comparison_model.h"
#include "widgets/pages/elided_label.h"
#include "widgets/pages/link_delegate.h"
#include "widgets/pages/recipe_comparison.h"
#include "widgets/pages/row_table.h"
#include "widgets/pages/section.h"
#include "widgets/plots/dumbbell_plot.h"
#include "widgets/plots/plot_table_dialog.h"
#include "widgets/plots/study_figures.h"
#include "widgets/support/format_text.h"
#include "widgets/workbench/workbench.h"

#include <QFileDialog>
#include <QHeaderView>
#include <QLabel>
#include <QMenu>
#include <QPushButton>
#include <QSortFilterProxyModel>
#include <QSplitter>
#include <QStackedWidget>
#include <QTableView>
#include <QToolButton>
#include <QVBoxLayout>

#include <limits>

using quantloupe::Audit;
using quantloupe::AuditVerdict;

namespace {

constexpr QLatin1String auditView("compare/audit");

DumbbellData dumbbells(const Audit& audit, const quantloupe::ModelCatalog& catalog)
{
    constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
    DumbbellData data {.metric = quantloupe::ErrorMetric::Sqnr,
        .firstName = ComparePage::tr("Checkpoint"),
        .secondName = ComparePage::tr("Best scheme of that size"),
        .items = {}};
    for (const auto& tensor : audit.tensors) {
        if (!tensor.quantizable || tensor.verdict == AuditVerdict::Kept || tensor.verdict == AuditVerdict::Unreadable)
            continue;
        const auto index = catalog.find(tensor.original);
        const auto name = QString::fromStdString(tensor.original);
        const auto& best = tensor.best;
        data.items.push_back({.tensor = name,
            .label = index ? figures::tensorLabel(catalog.tensors[*index]) : name,
            .first = best ? best->auditedSqnrDb : tensor.error.sqnrDb(),
            .second = best ? best->sqnrDb : unknown,
            .firstNote = QString::fromStdString(tensor.storedAs),
            .secondNote = best ? QString::fromStdString(best->scheme.toString()) : QString()});
    }
    return data;
}

}  // namespace

ComparePage::ComparePage(Workbench* workbench, QWidget* parent)
    : QWidget(parent)
    , m_workbench(workbench)
    , m_stack(new QStackedWidget)
    , m_empty(new QLabel)
    , m_checkpoint(new ElidedLabel)
    , m_summary(new QLabel)
    , m_file(new QPushButton(tr("&Compare with a file…")))
    , m_folder(new QPushButton(tr("with a &folder…")))
    , m_save(new QPushButton(tr("&Save table…")))
    , m_recipe(makeRecipeButton())
    , m_recipes(new RecipeComparison(workbench))
    , m_plot(new DumbbellPlot)
    , m_audit(new AuditModel(this))
    , m_sorted(new QSortFilterProxyModel(this))
    , m_table(new QTableView)
{
    m_file->setObjectName(QStringLiteral("compare-file"));
    m_folder->setObjectName(QStringLiteral("compare-folder"));
    m_save->setObjectName(QStringLiteral("save-table"));
    m_checkpoint->setObjectName(QStringLiteral("checkpoint"));
    m_summary->setObjectName(QStringLiteral("summary"));
    m_summary->setWordWrap(true);
    m_summary->setTextFormat(Qt::PlainText);
    m_checkpoint->setTextFormat(Qt::PlainText);
    const auto explanation = tr("Somebody's quantized checkpoint of the open model, whatever its format: tensors are "
                                "matched by name, fused and reordered ones brought together.");
    for (auto* button : {m_file, m_folder})
        button->setToolTip(explanation);

    auto* bar = new QHBoxLayout;
    bar->addWidget(m_file);
    bar->addWidget(m_folder);
    bar->addSpacing(8);
    bar->addWidget(m_recipe);
    bar->addSpacing(8);
    bar->addWidget(m_checkpoint, 1);
    bar->addWidget(m_save);

    m_empty->setAlignment(Qt::AlignCenter);
    m_empty->setWordWrap(true);
    m_empty->setForegroundRole(QPalette::PlaceholderText);
    m_stack->addWidget(m_empty);
    m_stack->addWidget(makeResult());
    m_stack->addWidget(m_recipes);

    auto* layout = new QVBoxLayout(this);
    layout->addLayout(bar);
    layout->addWidget(m_stack, 1);

    connect(m_file, &QPushButton::clicked, this, &ComparePage::chooseFile);
    connect(m_folder, &QPushButton::clicked, this, &ComparePage::chooseFolder);
    connect(m_save, &QPushButton::clicked, this, &ComparePage::saveTable);
    connect(m_recipes, &RecipeComparison::ready, this, &ComparePage::showRecipes);
    connect(workbench, &Workbench::modelChanged, this, &ComparePage::showModel);
    connect(workbench, &Workbench::selectionChanged, this, &ComparePage::showSelection);
    connect(m_plot, &Plot::tensorClicked, workbench, [workbench](const QString& name) { workbench->select({name}); });
    connect(m_plot, &Plot::tensorDoubleClicked, workbench, &Workbench::openLayer);
    showModel();
}

QWidget* ComparePage::makeResult()
{
    m_sorted->setSourceModel(m_audit);
    m_sorted->setSortRole(AuditModel::ValueRole);
    m_table->setModel(m_sorted);
    m_table->setObjectName(QStringLiteral("audit"));
    setUpRowTable(m_table);
    m_table->setAccessibleName(tr("Layers compared"));
    m_table->setWordWrap(false);
    m_table->setItemDelegateForColumn(AuditModel::Tensor, new LinkDelegate(m_table));
    m_table->horizontalHeader()->setStretchLastSection(true);
    m_table->horizontalHeader()->resizeSection(AuditModel::Tensor, fontMetrics().averageCharWidth() * 40);
    m_table->setSortingEnabled(true);
    m_table->horizontalHeader()->setSortIndicator(-1, Qt::AscendingOrder);
    connect(m_table, &QTableView::clicked, this, [this](const QModelIndex& index) {
        const auto tensor = index.data(AuditModel::TensorRole).toString();
        if (tensor.isEmpty())
            return;
        if (index.column() == AuditModel::Tensor)
            m_workbench->openLayer(tensor);
        else
            m_workbench->select({tensor});
    });
    connect(m_table, &QTableView::activated, this, [this](const QModelIndex& index) {
        if (const auto tensor = index.data(AuditModel::TensorRole).toString(); !tensor.isEmpty())
            m_workbench->openLayer(tensor);
    });

    m_plot->setObjectName(QStringLiteral("audit-plot"));
    m_plot->setDescription(tr("Checkpoint against the best scheme of its size"),
        tr("SQNR of each quantized layer in the checkpoint, and under the best of our schemes that takes no more "
           "bits."));
    m_plot->setEmptyText(tr("No weight matrix of the checkpoint is quantized"));
    auto* splitter = new QSplitter(Qt::Vertical);
    splitter->addWidget(new Section(m_plot->title(), m_plot->accessibleDescription(), m_plot));
    splitter->addWidget(new Section(
        tr("Layers"), tr("Every tensor of both, with the figures that our own schemes are given."), m_table));
    splitter->setStretchFactor(0, 3);
    splitter->setStretchFactor(1, 2);
    splitter->setChildrenCollapsible(false);

    auto* result = new QWidget;
    auto* column = new QVBoxLayout(result);
    column->setContentsMargins({});
    column->addWidget(m_summary);
    column->addWidget(splitter, 1);
    return result;
}

QToolButton* ComparePage::makeRecipeButton()
{
    auto* button = new QToolButton;
    button->setObjectName(QStringLiteral("compare-recipe"));
    button->setText(tr("&Recipe with"));
    button->setToolTip(tr("The current recipe beside another one, a single scheme, or the recipe of another study"));
    button->setPopupMode(QToolButton::InstantPopup);
    button->setMenu(new QMenu(button));
    connect(button->menu(), &QMenu::aboutToShow, this, &ComparePage::offerRecipes);
    return button;
}

void ComparePage::offerRecipes()
{
    auto* menu = m_recipe->menu();
    menu->clear();
    menu->addAction(tr("A recipe or study &file…"), this, &ComparePage::chooseRecipeFile);
    menu->addSection(tr("One scheme for everything"));
    for (const auto& scheme : m_workbench->study()->schemes())
        menu->addAction(QString::fromStdString(scheme), this,
            [this, scheme = QString::fromStdString(scheme)] { m_recipes->compareWithScheme(scheme); });
}

void ComparePage::chooseRecipeFile()
{
    const auto path = QFileDialog::getOpenFileName(this, tr("A recipe or a study of this model"),
        QFileInfo(m_workbench->modelPath()).absolutePath(),
        tr("Recipes and studies (*.recipe.json *.json *.h5);;All files (*)"));
    if (!path.isEmpty())
        m_recipes->compareWithFile(path);
}

void ComparePage::showRecipes()
{
    m_workbench->jobs()->cancel(auditView);
    m_checkpoint->setText(tr("Current recipe, and %1").arg(m_recipes->otherName()));
    m_save->setEnabled(true);
    m_stack->setCurrentWidget(m_recipes);
}

void ComparePage::showModel()
{
    m_workbench->jobs()->cancel(auditView);
    const bool ready = m_workbench->model() != nullptr;
    m_file->setEnabled(ready);
    m_folder->setEnabled(ready);
    m_recipe->setEnabled(m_workbench->hasModel());
    clear(ready ? tr(
              "Choose a quantized checkpoint of this model, to see what became of each layer, or what to compare the "
              "recipe with.")
            : m_workbench->hasModel()
            ? tr("The study is open without its model: open the model itself to compare a checkpoint with it.")
            : tr("Open the original model first."));
}

void ComparePage::clear(const QString& text)
{
    m_audit->setAudit(nullptr);
    m_plot->setData({});
    m_checkpoint->clear();
    m_save->setEnabled(false);
    m_empty->setText(text);
    m_stack->setCurrentIndex(0);
}

void ComparePage::compareWith(const QString& path)
{
    const auto model = m_workbench->model();
    if (!model)
        return;
    clear(tr("Comparing with %1 …").arg(path));
    const auto file = std::filesystem::path(path.toStdString());
    auto* job = m_workbench->jobs()->compute<AuditPointer>(
        this, {tr("Compare with %1").arg(Workbench::displayName(path)), auditView},
        [model, file, threads = m_workbench->jobs()->threads()](
            std::stop_token stop, quantloupe::Progress& progress) -> quantloupe::Result<AuditPointer> {
            const auto quantized = quantloupe::openModel(file, stop);
            if (!quantized)
                return tl::unexpected(quantized.error());
            auto found = quantloupe::audit(*model, **quantized, {.threads = threads}, std::move(stop), progress);
            if (!found)
                return tl::unexpected(found.error());
            return std::make_shared<const Audit>(std::move(*found));
        },
        [this, path, model](quantloupe::Result<AuditPointer> audit) {
            if (model != m_workbench->model())
                return;
            if (audit)
                return showResult(path, *audit);
            showModel();
            m_workbench->reportFailure(
                tr("The checkpoint could not be compared"), QString::fromStdString(describe(audit.error())));
        });
    // The list lets go of the view at the very end. What else is shown by then, recipes say, stays.
    connect(job, &Job::ended, this, [this, job] {
        if (job->state() == Job::State::Cancelled && !m_workbench->jobs()->isActive(auditView)
            && m_stack->currentWidget() == m_empty)
            showModel();
    });
}

void ComparePage::showResult(const QString& path, const AuditPointer& audit)
{
    m_checkpoint->setText(path);
    m_summary->setText(summary(*audit));
    m_audit->setAudit(audit);
    for (int column = AuditModel::StoredAs; column < AuditModel::Note; ++column)
        m_table->resizeColumnToContents(column);
    m_plot->setData(dumbbells(*audit, m_workbench->catalog()));
    m_save->setEnabled(true);
    m_stack->setCurrentIndex(1);
    showSelection();
}

QString ComparePage::summary(const Audit& audit) const
{
    const auto count = [&](AuditVerdict verdict) { return QLocale().toString(qulonglong {audit.count(verdict)}); };
    QStringList lines {
        tr("%1 tensors quantized, %2 kept, %3 different, %4 unreadable; %5 missing, %6 extra, %7 of "
           "another shape.")
            .arg(count(AuditVerdict::Quantized), count(AuditVerdict::Kept), count(AuditVerdict::Different),
                count(AuditVerdict::Unreadable), QLocale().toString(qulonglong {audit.missing.size()}),
                QLocale().toString(qulonglong {audit.extra.size()}),
                QLocale().toString(qulonglong {audit.mismatched.size()}))};
    const auto error = audit.weightError();
    if (error.count > 0)
        lines << tr("Weight matrices together: %1, SQNR %2, relative error %3.")
                     .arg(format::bitsPerWeight(audit.bitsPerWeight()), format::decibels(error.sqnrDb()),
                         format::number(error.relativeError()));
    if (audit.isClean())
        lines << tr("Every tensor has its counterpart, and none differs by more than its storage explains.");
    return lines.join(u'\n');
}

void ComparePage::showSelection()
{
    m_plot->setSelected(m_workbench->selection());
}

void ComparePage::chooseFile()
{
    const auto path = QFileDialog::getOpenFileName(this, tr("A quantized checkpoint of this model"),
        QFileInfo(m_workbench->modelPath()).absolutePath(), tr("All files (*)"));
    if (!path.isEmpty())
        compareWith(path);
}

void ComparePage::chooseFolder()
{
    const auto path = QFileDialog::getExistingDirectory(this, tr("The folder of a quantized checkpoint of this model"),
        QFileInfo(m_workbench->modelPath()).absolutePath());
    if (!path.isEmpty())
        compareWith(path);
}

void ComparePage::saveTable()
{
    const auto path = QFileDialog::getSaveFileName(
        this, tr("Save table"), QStringLiteral("comparison.csv"), tr("Comma-separated values (*.csv)"));
    if (path.isEmpty())
        return;
    const auto* shown = m_stack->currentWidget() == m_recipes ? m_recipes->table() : m_table;
    const auto* model = shown->model();
    // Of both kinds of rows the value role is the same.
    static_assert(int {AuditModel::ValueRole} == int {ComparisonModel::ValueRole});
    PlotTable table;
    for (int column = 0; column < model->columnCount(); ++column)
        table.header << model->headerData(column, Qt::Horizontal).toString();
    for (int row = 0; row < model->rowCount(); ++row) {
        QVariantList cells;
        for (int column = 0; column < model->columnCount(); ++column)
            cells << model->index(row, column).data(AuditModel::ValueRole);
        table.rows << cells;
    }
    const auto text = toCommaSeparated(table).toStdString();
    if (const auto written = quantloupe::writeFileAtomically(path.toStdString(), text); !written)
        m_workbench->reportFailure(tr("The table was not saved"), QString::fromStdString(describe(written.error())));
}
