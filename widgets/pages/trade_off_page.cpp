// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/pages/trade_off_page.h"

#include "widgets/models/plan_changes_model.h"
#include "widgets/pages/budget_row.h"
#include "widgets/pages/frontier_budget.h"
#include "widgets/pages/truth_panel.h"
#include "widgets/plots/study_figures.h"
#include "widgets/support/format_text.h"
#include "widgets/theme/fonts.h"
#include "widgets/workbench/workbench.h"

#include <QHeaderView>
#include <QLabel>
#include <QSplitter>
#include <QTableView>
#include <QVBoxLayout>

#include <algorithm>
#include <cmath>

namespace {

/// One line per larger scheme that does worse than a smaller one; no more than a tooltip holds.
QString violationsText(const quantloupe::TradeOffPicture& picture, const quantloupe::ModelCatalog& model)
{
    constexpr std::size_t most = 12;
    const auto& violations = picture.frontier.violations;
    QStringList lines;
    for (std::size_t i = 0; i < std::min(most, violations.size()); ++i) {
        QStringList names;
        for (const auto tensor : picture.frontier.groups[violations[i].group].tensors)
            names << QString::fromStdString(model.tensors[tensor].name);
        lines << TradeOffPage::tr("%1: %2 does worse than %3")
                     .arg(names.join(QStringLiteral(", ")), QString::fromStdString(violations[i].heavier),
                         QString::fromStdString(violations[i].lighter));
    }
    if (violations.size() > most)
        lines << TradeOffPage::tr("and %1 more").arg(violations.size() - most);
    return lines.join(u'\n');
}

}  // namespace

TradeOffPage::TradeOffPage(Workbench* workbench, QWidget* parent)
    : QWidget(parent)
    , m_workbench(workbench)
    , m_budget(FrontierBudget::of(workbench))
    , m_plot(new TradeOffPlot)
    , m_summary(new QLabel)
    , m_changesTitle(new QLabel)
    , m_changes(new PlanChangesModel(this))
    , m_changesView(new QTableView)
{
    m_summary->setWordWrap(true);
    m_summary->setObjectName(QStringLiteral("summary"));
    m_summary->setTextInteractionFlags(Qt::TextSelectableByMouse);
    auto* caption = new QLabel(tr(
        "Errors of tensors are added up: of weights, or, where layers were ranked by text, of the predictions. Weight "
        "errors say which sizes are cheap, not what quality a task will have."));
    caption->setWordWrap(true);
    caption->setForegroundRole(QPalette::PlaceholderText);

    auto* left = new QWidget;
    auto* leftLayout = new QVBoxLayout(left);
    leftLayout->setContentsMargins(0, 0, 0, 0);
    leftLayout->addWidget(m_plot, 1);
    leftLayout->addWidget(new BudgetRow(workbench, m_budget));
    leftLayout->addWidget(m_summary);
    leftLayout->addWidget(caption);
    auto* splitter = new QSplitter;
    splitter->addWidget(left);
    auto* right = new QSplitter(Qt::Vertical);
    right->addWidget(makeChanges());
    right->addWidget(new TruthPanel(workbench, m_budget));
    right->setStretchFactor(0, 2);
    right->setStretchFactor(1, 3);
    right->setChildrenCollapsible(false);
    splitter->addWidget(right);
    splitter->setStretchFactor(0, 3);
    splitter->setStretchFactor(1, 1);
    splitter->setSizes({560, 480});
    splitter->setChildrenCollapsible(false);
    auto* layout = new QVBoxLayout(this);
    layout->addWidget(splitter);

    connect(m_plot, &TradeOffPlot::budgetDragged, this, [this](quint64 bytes) { m_budget->moveTo(bytes); });
    connect(m_plot, &TradeOffPlot::budgetDragFinished, m_budget, &FrontierBudget::endMove);
    connect(m_plot, &TradeOffPlot::pointAdopted, m_budget, &FrontierBudget::adopt);
    connect(m_budget, &FrontierBudget::pictureChanged, this, &TradeOffPage::showPicture);
    connect(m_budget, &FrontierBudget::currentChanged, this, &TradeOffPage::showCurrent);
    connect(m_workbench, &Workbench::modelChanged, this, [this] {
        m_before.reset();
        m_last = m_workbench->plan();
        m_undoIndex = m_workbench->undoStack()->index();
        showChanges();
    });
    connect(m_workbench, &Workbench::recipeChanged, this, [this] {
        // Steps that melt into one leave the index alone: a whole drag compares with the recipe before it.
        const int index = m_workbench->undoStack()->index();
        if (index != m_undoIndex || !m_before)
            m_before = m_last;
        m_undoIndex = index;
        m_last = m_workbench->plan();
        showChanges();
    });
    m_last = m_workbench->plan();
    m_undoIndex = m_workbench->undoStack()->index();
    showPicture();
    showChanges();
}

QWidget* TradeOffPage::makeChanges()
{
    m_changesTitle->setWordWrap(true);
    m_changesTitle->setObjectName(QStringLiteral("changesTitle"));
    m_changesView->setObjectName(QStringLiteral("changes"));
    m_changesView->setModel(m_changes);
    m_changesView->setAccessibleName(tr("What changed"));
    m_changesView->setSelectionBehavior(QAbstractItemView::SelectRows);
    m_changesView->setShowGrid(false);
    m_changesView->setAlternatingRowColors(true);
    m_changesView->setWordWrap(false);
    m_changesView->setTextElideMode(Qt::ElideLeft);  // the end of a tensor's name tells most
    m_changesView->setFont(tabularFont(font()));
    m_changesView->verticalHeader()->hide();
    m_changesView->verticalHeader()->setDefaultSectionSize(fontMetrics().height() + 6);
    m_changesView->horizontalHeader()->setSectionResizeMode(PlanChangesModel::Tensor, QHeaderView::Stretch);
    m_changesView->horizontalHeader()->setHighlightSections(false);
    // Schemes are as wide as they are; a glance at the first rows tells.
    m_changesView->horizontalHeader()->setResizeContentsPrecision(20);
    for (const int column : {PlanChangesModel::Before, PlanChangesModel::After})
        m_changesView->horizontalHeader()->setSectionResizeMode(column, QHeaderView::ResizeToContents);
    m_changesView->horizontalHeader()->setSectionResizeMode(PlanChangesModel::Change, QHeaderView::Interactive);
    m_changesView->setColumnWidth(
        PlanChangesModel::Change, fontMetrics().horizontalAdvance(QStringLiteral("↓ −123 MiB 0")));
    connect(m_changesView, &QTableView::clicked, this,
        [this](const QModelIndex& index) { m_workbench->select({index.data(PlanChangesModel::NameRole).toString()}); });
    connect(m_changesView, &QTableView::doubleClicked, this, [this](const QModelIndex& index) {
        m_workbench->openLayer(index.data(PlanChangesModel::NameRole).toString());
    });
    auto* panel = new QWidget;
    auto* layout = new QVBoxLayout(panel);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->addWidget(m_changesTitle);
    layout->addWidget(m_changesView, 1);
    return panel;
}

void TradeOffPage::showEvent(QShowEvent* event)
{
    QWidget::showEvent(event);
    m_budget->setActive(this, true);
    showChanges();
}

void TradeOffPage::hideEvent(QHideEvent* event)
{
    QWidget::hideEvent(event);
    m_budget->setActive(this, false);
}

void TradeOffPage::showPicture()
{
    m_plot->setEmptyText(m_workbench->hasModel()
            ? tr("Analyze the model under two schemes or more to see the trade-off")
            : tr("Open a model to begin"));
    m_plot->setData(figures::tradeOff(*m_budget->picture()));
    if (const auto& current = m_budget->current())
        m_plot->setCurrent(figures::place(*current));
    showSummary();
}

void TradeOffPage::showCurrent()
{
    if (const auto& current = m_budget->current())
        m_plot->setCurrent(figures::place(*current));
    showSummary();
}

void TradeOffPage::showSummary()
{
    const auto& current = m_budget->current();
    if (!m_workbench->hasModel() || !current) {
        m_summary->setText(QString());
        return;
    }
    const QString size = tr("%1, %2").arg(format::bytes(current->bytes), format::bitsPerWeight(current->bitsPerWeight));
    if (std::isnan(current->error)) {
        m_summary->setText(
            tr("<b>Recipe:</b> %1. Its error is not known: some tensors were not measured under their scheme.")
                .arg(size));
        return;
    }
    const auto metric = m_budget->picture()->metric;
    QString text = metric == quantloupe::ErrorMetric::ModelError
        ? tr("<b>Recipe:</b> %1, relative error %2 (%3).")
              .arg(size, format::number(current->error, 3),
                  format::decibels(current->error > 0.0 ? -10.0 * std::log10(current->error) : INFINITY))
        : tr("<b>Recipe:</b> %1, predicted KL %2 nats per token.").arg(size, format::number(current->error, 3));
    // What one scheme for everything would give at most at this size.
    const quantloupe::TradeOffPoint* rival = nullptr;
    for (const auto& point : m_budget->picture()->uniform) {
        if (point.bytes <= current->bytes && !std::isnan(point.error) && (!rival || point.error < rival->error))
            rival = &point;
    }
    if (rival && current->error > 0.0 && rival->bytes != current->bytes) {
        text += u' '
            + tr("The best single scheme of at most this size, %1, has %2 (%3×).")
                  .arg(QString::fromStdString(rival->label), format::number(rival->error, 3),
                      format::number(rival->error / current->error, 3));
    }
    if (const auto cost = fusionCost(*m_budget->picture(), current->bytes); cost && cost->apart < cost->together)
        text += u' '
            + tr("Keeping q, k, v and gate, up together, recipes of this size are predicted to reach %1; apart %2.")
                  .arg(format::number(cost->together, 3), format::number(cost->apart, 3));
    const auto violations = violationsText(*m_budget->picture(), m_workbench->catalog());
    m_summary->setToolTip(violations);
    if (!violations.isEmpty())
        text += u' '
            + tr("Larger schemes that do worse than a smaller one, left out: %1.")
                  .arg(m_budget->picture()->frontier.violations.size());
    m_summary->setText(text);
}

void TradeOffPage::showChanges()
{
    if (!isVisible())
        return;
    if (m_before)
        m_changes->setPlans(m_workbench->catalog(), *m_before, m_workbench->plan());
    else
        m_changes->clear();
    if (m_changes->rowCount() == 0) {
        m_changesTitle->setText(
            tr("<b>What changed</b><br>Nothing yet. Tensors that move up or down with the recipe are listed here."));
        return;
    }
    m_changesTitle->setText(tr("<b>What changed</b><br>%1 up, %2 down, %3")
                                .arg(QString::number(m_changes->grown()), QString::number(m_changes->shrunk()),
                                    format::signedBytes(m_changes->totalChange())));
}
