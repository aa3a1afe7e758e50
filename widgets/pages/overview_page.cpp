// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/pages/overview_page.h"

#include "widgets/models/findings_model.h"
#include "widgets/pages/link_delegate.h"
#include "widgets/pages/model_card.h"
#include "widgets/pages/row_table.h"
#include "widgets/pages/section.h"
#include "widgets/plots/size_by_role_plot.h"
#include "widgets/plots/weight_range_plot.h"
#include "widgets/workbench/workbench.h"

#include <QHeaderView>
#include <QLabel>
#include <QScrollArea>
#include <QSortFilterProxyModel>
#include <QStackedWidget>
#include <QTableView>
#include <QTimer>
#include <QVBoxLayout>

#include <utility>

namespace {

using Findings = std::vector<quantloupe::Finding>;

constexpr QLatin1String findingsView("overview/findings");
constexpr QLatin1String curesView("overview/cures");
constexpr int curesDelay = 300;  // ms

}  // namespace

OverviewPage::OverviewPage(Workbench* workbench, QWidget* parent)
    : QWidget(parent)
    , m_workbench(workbench)
    , m_stack(new QStackedWidget)
    , m_card(new ModelCard)
    , m_sizes(new SizeByRolePlot)
    , m_ranges(new WeightRangePlot)
    , m_findings(new FindingsModel(this))
    , m_table(new QTableView)
    , m_findingsNote(new QLabel)
    , m_cures(new QTimer(this))
{
    auto* content = new QWidget;
    auto* column = new QVBoxLayout(content);
    column->setContentsMargins(12, 12, 12, 12);
    column->setSpacing(14);
    column->addWidget(m_card);
    const int line = fontMetrics().lineSpacing();
    m_sizes->setFixedHeight(line * 11);
    m_ranges->setMinimumHeight(line * 16);
    column->addWidget(new Section(m_sizes->title(), m_sizes->accessibleDescription(), m_sizes));
    column->addWidget(new Section(m_ranges->title(), m_ranges->accessibleDescription(), m_ranges), 1);
    column->addWidget(makeFindings(), 1);

    auto* scroll = new QScrollArea;
    scroll->setWidgetResizable(true);
    scroll->setFrameShape(QFrame::NoFrame);
    scroll->setWidget(content);
    m_stack->addWidget(emptyState(tr("Open a model to see what it is made of.")));
    m_stack->addWidget(scroll);
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins({});
    layout->addWidget(m_stack);

    m_cures->setSingleShot(true);
    m_cures->setInterval(curesDelay);
    connect(m_cures, &QTimer::timeout, this, &OverviewPage::tryCures);
    connect(workbench, &Workbench::modelChanged, this, [this] {
        m_workbench->jobs()->cancel(curesView);
        m_modelStale = m_studyStale = m_findingsStale = true;
        showModel();
    });
    connect(workbench, &Workbench::recipeChanged, this, [this] {
        m_modelStale = true;
        showModel();
    });
    connect(workbench, &Workbench::studyChanged, this, [this] {
        m_studyStale = m_findingsStale = true;
        showStudy();
    });
    connect(workbench, &Workbench::selectionChanged, this, &OverviewPage::showSelection);
    connect(m_ranges, &Plot::tensorClicked, workbench, [workbench](const QString& name) { workbench->select({name}); });
    connect(m_ranges, &Plot::tensorDoubleClicked, workbench, &Workbench::openLayer);
    connect(m_sizes, &SizeByRolePlot::roleClicked, workbench, [workbench](quantloupe::TensorRole role) {
        QStringList names;
        for (const auto& tensor : workbench->catalog().tensors)
            if (tensor.parts.role == role)
                names << QString::fromStdString(tensor.name);
        workbench->select(names);
    });
}

QWidget* OverviewPage::makeFindings()
{
    auto* sorted = new QSortFilterProxyModel(this);
    sorted->setSourceModel(m_findings);
    sorted->setSortRole(FindingsModel::ValueRole);
    m_table->setModel(sorted);
    setUpRowTable(m_table);
    m_table->setAccessibleName(tr("Findings"));
    m_table->setWordWrap(true);
    m_table->setItemDelegateForColumn(FindingsModel::Tensor, new LinkDelegate(m_table));
    m_table->setMinimumHeight(fontMetrics().lineSpacing() * 12);
    auto* header = m_table->horizontalHeader();
    header->setSectionResizeMode(QHeaderView::Interactive);
    header->setSectionResizeMode(FindingsModel::Text, QHeaderView::Stretch);
    header->resizeSection(FindingsModel::Tensor, fontMetrics().averageCharWidth() * 38);
    header->resizeSection(FindingsModel::SchemeName, fontMetrics().averageCharWidth() * 16);
    header->resizeSection(FindingsModel::Severity, fontMetrics().horizontalAdvance(tr("At stake (dB)")) + 40);
    m_table->setSortingEnabled(true);
    m_table->sortByColumn(FindingsModel::Severity, Qt::DescendingOrder);
    // Rows grow with wrapped sentences; there are never more than a few dozen findings.
    connect(header, &QHeaderView::sectionResized, m_table, &QTableView::resizeRowsToContents);
    connect(sorted, &QAbstractItemModel::modelReset, m_table, &QTableView::resizeRowsToContents);

    const auto tensorOf = [](const QModelIndex& index) { return index.data(FindingsModel::TensorRole).toString(); };
    connect(m_table, &QTableView::clicked, this, [this, tensorOf](const QModelIndex& index) {
        const auto tensor = tensorOf(index);
        if (index.column() == FindingsModel::Tensor)
            m_workbench->openLayer(tensor);
        else
            m_workbench->select({tensor});
    });
    connect(m_table, &QTableView::activated, this,
        [this, tensorOf](const QModelIndex& index) { m_workbench->openLayer(tensorOf(index)); });

    m_findingsNote->setForegroundRole(QPalette::PlaceholderText);
    return new Section(tr("Findings"), tr("What the measurements show, worst first. Click a layer to open it."),
        m_table, {m_findingsNote});
}

void OverviewPage::showEvent(QShowEvent* event)
{
    QWidget::showEvent(event);
    showModel();
}

void OverviewPage::showModel()
{
    // A hidden page costs nothing; it catches up when it is shown.
    if (!isVisible())
        return;
    if (std::exchange(m_modelStale, false)) {
        m_stack->setCurrentIndex(m_workbench->hasModel() ? 1 : 0);
        const auto& catalog = m_workbench->catalog();
        m_card->setModel(catalog, m_workbench->plan());
        m_sizes->setSizes(sizesByRole(catalog, m_workbench->plan()));
    }
    showStudy();
}

void OverviewPage::showStudy()
{
    if (!isVisible())
        return;
    if (std::exchange(m_studyStale, false)) {
        m_ranges->setRanges(weightRanges(m_workbench->catalog(), *m_workbench->study()));
        showSelection();
    }
    findOut();
}

void OverviewPage::findOut()
{
    // One at a time, to its end: studies change faster than findings of a large one are computed.
    if (!m_findingsStale || m_workbench->jobs()->isActive(findingsView))
        return;
    m_findingsStale = false;
    m_workbench->jobs()->cancel(curesView);
    const auto study = m_workbench->study();
    m_findingsNote->setText(study->weights.empty()
            ? tr("Nothing measured yet")
            : tr("Tensors measured: %1").arg(QLocale().toString(static_cast<qulonglong>(study->weights.size()))));
    auto* job = m_workbench->jobs()->compute<Findings>(
        this, {tr("Find what stands out"), findingsView, false},
        [study](std::stop_token, quantloupe::Progress&) -> quantloupe::Result<Findings> {
            return quantloupe::findingsOf(*study);
        },
        [this](quantloupe::Result<Findings> findings) {
            if (findings)
                m_findings->setFindings(std::move(*findings));
        });
    connect(
        job, &Job::ended, this,
        [this] {
            if (isVisible())
                findOut();
            if (!m_findingsStale)
                m_cures->start();
        },
        Qt::QueuedConnection);
}

void OverviewPage::tryCures()
{
    const auto model = m_workbench->model();
    const auto study = m_workbench->study();
    if (!model || study->measurements.empty() || m_findingsStale)
        return;
    // What the user waits for comes first.
    if (m_workbench->jobs()->isBusy()) {
        m_cures->start();
        return;
    }
    m_workbench->jobs()->compute<Findings>(
        this, {tr("Try what would help"), curesView, true, true},
        [model, study](std::stop_token stop, quantloupe::Progress& progress) {
            return quantloupe::findingsWithCures(*model, *study, stop, progress);
        },
        [this, study](quantloupe::Result<Findings> findings) {
            // The plain findings stay where a tensor could not be read again.
            if (findings && study == m_workbench->study())
                m_findings->setFindings(std::move(*findings));
        });
}

void OverviewPage::showSelection()
{
    if (isVisible())
        m_ranges->setSelection(m_workbench->selection());
}
