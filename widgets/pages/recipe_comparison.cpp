// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/pages/recipe_comparison.h"

#include "core/base/mapped_file.h"
#include "widgets/models/comparison_model.h"
#include "widgets/pages/link_delegate.h"
#include "widgets/pages/row_table.h"
#include "widgets/pages/section.h"
#include "widgets/plots/dumbbell_plot.h"
#include "widgets/plots/metric_text.h"
#include "widgets/plots/study_figures.h"
#include "widgets/support/format_text.h"
#include "widgets/workbench/workbench.h"

#include <QCheckBox>
#include <QFileInfo>
#include <QHeaderView>
#include <QLabel>
#include <QLocale>
#include <QSortFilterProxyModel>
#include <QSplitter>
#include <QTableView>
#include <QVBoxLayout>

#include <utility>

using quantloupe::Comparison;
using quantloupe::ErrorMetric;
using quantloupe::Result;

namespace {

constexpr QLatin1String compareView("compare/recipes");
constexpr QLatin1String fileView("compare/recipe file");

using ComparisonPointer = std::shared_ptr<const Comparison>;

/// What is drawn: SQNR, whatever recipes are compared by, since it depends on nothing but weights.
DumbbellData dumbbells(const Comparison& comparison, const quantloupe::ModelCatalog& model, const QString& other)
{
    DumbbellData data {.metric = ErrorMetric::Sqnr,
        .firstName = RecipeComparison::tr("Current recipe"),
        .secondName = other,
        .items = {}};
    for (const auto i : comparison.different) {
        const auto& [first, second] = comparison.sides;
        const auto note = [&](const quantloupe::ComparedTensor& tensor) {
            return tensor.scheme.empty() ? RecipeComparison::tr("kept") : QString::fromStdString(tensor.scheme);
        };
        data.items.push_back({.tensor = QString::fromStdString(model.tensors[i].name),
            .label = figures::tensorLabel(model.tensors[i]),
            .first = comparison.sqnrDb(0, i),
            .second = comparison.sqnrDb(1, i),
            .firstNote = note(first.tensors[i]),
            .secondNote = note(second.tensors[i])});
    }
    return data;
}

QString totalsText(const quantloupe::ComparedTotals& totals, ErrorMetric metric)
{
    auto text = RecipeComparison::tr("%1, %2, SQNR of the weights %3")
                    .arg(format::bytes(totals.bytes), format::bitsPerWeight(totals.bitsPerWeight),
                        format::decibels(totals.sqnrDb()));
    if (predictsKl(metric))
        text += RecipeComparison::tr(", predicted KL %1").arg(format::number(totals.value, 3));
    if (totals.unknown > 0)
        text += RecipeComparison::tr(" (tensors not measured under their scheme: %1)").arg(totals.unknown);
    return text;
}

}  // namespace

RecipeComparison::RecipeComparison(Workbench* workbench, QWidget* parent)
    : QWidget(parent)
    , m_workbench(workbench)
    , m_summary(new QLabel)
    , m_all(new QCheckBox(tr("Also &tensors that do not differ")))
    , m_plot(new DumbbellPlot)
    , m_model(new ComparisonModel(this))
    , m_sorted(new QSortFilterProxyModel(this))
    , m_table(new QTableView)
{
    m_summary->setObjectName(QStringLiteral("recipe-summary"));
    m_summary->setTextFormat(Qt::PlainText);
    m_summary->setTextInteractionFlags(Qt::TextSelectableByMouse);
    m_summary->setWordWrap(true);
    m_sorted->setSourceModel(m_model);
    m_sorted->setSortRole(ComparisonModel::ValueRole);
    m_table->setObjectName(QStringLiteral("recipes"));
    m_table->setModel(m_sorted);
    setUpRowTable(m_table);
    m_table->setAccessibleName(tr("Recipes compared"));
    m_table->setWordWrap(false);
    m_table->setItemDelegateForColumn(ComparisonModel::Tensor, new LinkDelegate(m_table));
    m_table->horizontalHeader()->resizeSection(ComparisonModel::Tensor, fontMetrics().averageCharWidth() * 40);
    m_table->setSortingEnabled(true);
    m_table->horizontalHeader()->setSortIndicator(-1, Qt::AscendingOrder);
    connect(m_table, &QTableView::clicked, this, [this](const QModelIndex& index) {
        const auto tensor = index.data(ComparisonModel::TensorRole).toString();
        if (index.column() == ComparisonModel::Tensor)
            m_workbench->openLayer(tensor);
        else
            m_workbench->select({tensor});
    });
    m_plot->setDescription(
        tr("Two recipes"), tr("SQNR of each tensor that the two treat differently. Higher is better."));
    m_plot->setEmptyText(tr("No tensor differs"));
    auto* splitter = new QSplitter(Qt::Vertical);
    splitter->addWidget(new Section(m_plot->title(), m_plot->accessibleDescription(), m_plot));
    splitter->addWidget(new Section(tr("Tensors"),
        tr("A is the current recipe, B the other. Figures are of the study's measurements."), m_table, {m_all}));
    splitter->setStretchFactor(0, 3);
    splitter->setStretchFactor(1, 2);
    splitter->setChildrenCollapsible(false);
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins({});
    layout->addWidget(m_summary);
    layout->addWidget(splitter, 1);

    connect(m_all, &QCheckBox::toggled, this, &RecipeComparison::showRows);
    connect(workbench, &Workbench::modelChanged, this, &RecipeComparison::clear);
    connect(workbench, &Workbench::studyChanged, this, &RecipeComparison::compute);
    connect(workbench, &Workbench::recipeChanged, this, &RecipeComparison::compute);
    connect(workbench, &Workbench::selectionChanged, this, &RecipeComparison::showSelection);
    connect(m_plot, &Plot::tensorClicked, workbench, [workbench](const QString& name) { workbench->select({name}); });
    connect(m_plot, &Plot::tensorDoubleClicked, workbench, &Workbench::openLayer);
}

QString RecipeComparison::otherName() const
{
    return m_other ? m_other->name : QString();
}

void RecipeComparison::clear()
{
    m_workbench->jobs()->cancel(compareView);
    m_workbench->jobs()->cancel(fileView);
    m_other.reset();
    showResult(nullptr);
}

void RecipeComparison::compareWithScheme(const QString& scheme)
{
    const auto plan = quantloupe::LayerPlan::parse(scheme.toStdString());
    if (!plan || !m_workbench->hasModel())
        return;
    auto recipe = quantloupe::Recipe::uniform(plan->weights, m_workbench->catalog());
    recipe.activations = plan->activations;
    recipe.keep = m_workbench->recipe().keep;
    compareWith({scheme, std::move(recipe), nullptr});
}

void RecipeComparison::compareWithFile(const QString& path)
{
    if (!m_workbench->hasModel())
        return;
    const auto name = QFileInfo(path).fileName();
    m_workbench->jobs()->compute<Other>(
        this, {tr("Read %1").arg(name), fileView},
        [path = path.toStdString(), name, fingerprint = m_workbench->catalog().fingerprint](
            std::stop_token, quantloupe::Progress&) -> Result<Other> {
            if (path.ends_with(".h5")) {
                const auto study = quantloupe::Study::read(path);
                if (!study)
                    return tl::unexpected(study.error());
                if ((*study)->model.fingerprint != fingerprint)
                    return quantloupe::failure(quantloupe::ErrorCode::Conflict, path, "is a study of another model");
                if (!(*study)->recipe)
                    return quantloupe::failure(quantloupe::ErrorCode::Conflict, path, "holds no recipe");
                return Other {name, *(*study)->recipe, *study};
            }
            const auto file = quantloupe::MappedFile::open(path);
            if (!file)
                return tl::unexpected(file.error());
            const auto bytes = (*file)->bytes();
            const auto recipe =
                quantloupe::Recipe::fromJson({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
            if (!recipe)
                return tl::unexpected(recipe.error());
            return Other {name, *recipe, nullptr};
        },
        [this](Result<Other> other) {
            if (other)
                compareWith(std::move(*other));
            else
                m_workbench->reportFailure(
                    tr("The recipes could not be compared"), QString::fromStdString(describe(other.error())));
        });
}

void RecipeComparison::compareWith(Other other)
{
    m_other = std::move(other);
    Q_EMIT ready();
    compute();
}

void RecipeComparison::showEvent(QShowEvent* event)
{
    QWidget::showEvent(event);
    compute();
}

void RecipeComparison::compute()
{
    if (!m_other || !isVisible())
        return;
    m_workbench->jobs()->compute<ComparisonPointer>(
        this, {tr("Compare recipes"), compareView, false},
        [study = m_workbench->study(), recipe = m_workbench->recipe(), other = *m_other](
            std::stop_token, quantloupe::Progress&) -> Result<ComparisonPointer> {
            const auto& model = study->model;
            const auto metric = quantloupe::bestMetric(*study);
            const auto& others = other.study ? *other.study : *study;
            return std::make_shared<const Comparison>(quantloupe::compareSides(model, *study, metric,
                quantloupe::comparedRecipe(recipe, model, *study, metric, "recipe"),
                quantloupe::comparedRecipe(other.recipe, model, others, metric, other.name.toStdString())));
        },
        [this](const Result<ComparisonPointer>& comparison) {
            if (comparison)
                showResult(*comparison);
        });
}

void RecipeComparison::showResult(const ComparisonPointer& comparison)
{
    m_comparison = comparison;
    showRows();
    if (!comparison) {
        m_plot->setData({});
        m_summary->clear();
        return;
    }
    m_plot->setData(dumbbells(*comparison, m_workbench->catalog(), otherName()));
    const auto& totals = comparison->totals;
    m_summary->setText(
        tr("A, the current recipe: %1\nB, %2: %3\nTensors that differ: %4; B against A: %5.")
            .arg(totalsText(totals[0], comparison->metric), otherName(), totalsText(totals[1], comparison->metric),
                QLocale().toString(qulonglong {comparison->different.size()}),
                format::signedBytes(
                    static_cast<std::int64_t>(totals[1].bytes) - static_cast<std::int64_t>(totals[0].bytes))));
    showSelection();
}

void RecipeComparison::showRows()
{
    m_model->setComparison(m_comparison, m_workbench->catalog(),
        m_comparison ? metricTitle(m_comparison->metric) : QString(), m_all->isChecked());
    for (int column = ComparisonModel::FirstScheme; column < ComparisonModel::ColumnCount; ++column)
        m_table->resizeColumnToContents(column);
}

void RecipeComparison::showSelection()
{
    m_plot->setSelected(m_workbench->selection());
    const auto current = m_workbench->currentTensor();
    const auto found =
        m_sorted->match(m_sorted->index(0, 0), ComparisonModel::TensorRole, current, 1, Qt::MatchExactly);
    if (!found.isEmpty())
        m_table->selectRow(found.front().row());
    else
        m_table->clearSelection();
}
