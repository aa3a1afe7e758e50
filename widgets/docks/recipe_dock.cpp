// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/docks/recipe_dock.h"

#include "core/recipes/name_patterns.h"
#include "widgets/docks/scheme_delegate.h"
#include "widgets/docks/scheme_menu.h"
#include "widgets/models/recipe_rules_model.h"
#include "widgets/support/format_text.h"
#include "widgets/theme/icons.h"
#include "widgets/workbench/workbench.h"

#include <QHBoxLayout>
#include <QHeaderView>
#include <QLabel>
#include <QSplitter>
#include <QStyledItemDelegate>
#include <QTableView>
#include <QToolButton>
#include <QUndoView>
#include <QVBoxLayout>

namespace {

/// Asks for no width, so that long texts are elided instead of scrolled.
class NarrowDelegate final : public QStyledItemDelegate
{
public:
    using QStyledItemDelegate::QStyledItemDelegate;
    QSize sizeHint(const QStyleOptionViewItem& option, const QModelIndex& index) const override
    {
        return {0, QStyledItemDelegate::sizeHint(option, index).height() + 2};
    }
};

}  // namespace

RecipeDock::RecipeDock(Workbench* workbench, QWidget* parent)
    : QDockWidget(tr("Recipe"), parent)
    , m_workbench(workbench)
    , m_model(new RecipeRulesModel(this))
    , m_view(new QTableView)
    , m_totals(new QLabel)
    , m_add(makeButton(QStringLiteral("add"), tr("Add a rule")))
    , m_keep(makeButton(QStringLiteral("pin"), tr("Keep tensors as stored")))
    , m_remove(makeButton(QStringLiteral("remove"), tr("Remove the selected rules")))
    , m_up(makeButton(QStringLiteral("up"), tr("Move the rule up")))
    , m_down(makeButton(QStringLiteral("down"), tr("Move the rule down: later rules win")))
    , m_load(makeButton(QStringLiteral("open"), tr("Load a recipe")))
    , m_save(makeButton(QStringLiteral("save"), tr("Save the recipe")))
{
    setObjectName(QStringLiteral("recipeDock"));
    m_view->setModel(m_model);
    m_view->setAccessibleName(tr("Rules of the recipe"));
    m_view->setSelectionBehavior(QAbstractItemView::SelectRows);
    m_view->setAlternatingRowColors(true);
    m_view->setShowGrid(false);
    m_view->setWordWrap(false);
    m_view->setTextElideMode(Qt::ElideMiddle);
    m_view->verticalHeader()->hide();
    m_view->verticalHeader()->setDefaultSectionSize(fontMetrics().height() + 8);
    m_view->horizontalHeader()->setHighlightSections(false);
    m_view->horizontalHeader()->setSectionResizeMode(QHeaderView::ResizeToContents);
    m_view->horizontalHeader()->setSectionResizeMode(RecipeRulesModel::Match, QHeaderView::Stretch);
    m_view->setItemDelegateForColumn(
        RecipeRulesModel::Scheme, new SchemeDelegate([this] { return commonSchemes(*m_workbench); }, false, this));
    m_totals->setWordWrap(true);
    m_totals->setTextInteractionFlags(Qt::TextSelectableByMouse);
    m_totals->setObjectName(QStringLiteral("recipeTotals"));

    auto* buttons = new QHBoxLayout;
    buttons->setSpacing(2);
    for (auto* button : {m_add, m_keep, m_remove, m_up, m_down})
        buttons->addWidget(button);
    buttons->addStretch();
    buttons->addWidget(m_load);
    buttons->addWidget(m_save);

    auto* rules = new QWidget;
    auto* rulesLayout = new QVBoxLayout(rules);
    rulesLayout->setContentsMargins(0, 0, 0, 0);
    rulesLayout->setSpacing(4);
    rulesLayout->addWidget(m_view);
    rulesLayout->addLayout(buttons);
    rulesLayout->addWidget(m_totals);

    auto* history = new QWidget;
    auto* historyLayout = new QVBoxLayout(history);
    historyLayout->setContentsMargins(0, 0, 0, 0);
    historyLayout->setSpacing(4);
    auto* historyTitle = new QLabel(tr("Undo &history"));
    auto* undo = new QUndoView(m_workbench->undoStack());
    undo->setEmptyLabel(tr("As opened"));
    undo->setAccessibleName(tr("Undo history"));
    undo->setItemDelegate(new NarrowDelegate(undo));
    undo->setTextElideMode(Qt::ElideMiddle);
    undo->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
    historyTitle->setBuddy(undo);
    historyLayout->addWidget(historyTitle);
    historyLayout->addWidget(undo);

    auto* splitter = new QSplitter(Qt::Vertical);
    splitter->addWidget(rules);
    splitter->addWidget(history);
    splitter->setStretchFactor(0, 3);
    splitter->setStretchFactor(1, 1);
    splitter->setContentsMargins(4, 4, 4, 4);
    // Below this the patterns of the rules, which take what the other columns leave, could not be read.
    splitter->setMinimumWidth(fontMetrics().averageCharWidth() * 40);
    setWidget(splitter);

    connect(m_add, &QToolButton::clicked, this, [this] {
        // Begins as a rule for what is selected, as a family; the pattern is edited in place.
        const auto tensor = m_workbench->currentTensor();
        const auto match = tensor.isEmpty() ? QStringLiteral("*")
                                            : QString::fromStdString(quantloupe::familyPattern(tensor.toStdString()));
        m_model->addRule(match, m_workbench->recipe().defaultPlan.weights);
        m_view->selectRow(m_model->rowCount() - 1);
    });
    connect(m_keep, &QToolButton::clicked, this, [this] {
        if (m_workbench->selection().isEmpty())
            m_model->addKeep(QStringLiteral("*embed*"));
        else
            m_workbench->setScheme(m_workbench->selection(), std::nullopt);
    });
    connect(m_remove, &QToolButton::clicked, this, [this] {
        QList<int> rows;
        const auto selected = m_view->selectionModel()->selectedRows();
        for (const auto& index : selected)
            rows << index.row();
        m_model->remove(rows);
    });
    const auto move = [this](int step) {
        const auto row = currentRow();
        if (m_model->move(row, step))
            m_view->selectRow(row + step);
    };
    connect(m_up, &QToolButton::clicked, this, [move] { move(-1); });
    connect(m_down, &QToolButton::clicked, this, [move] { move(+1); });
    connect(m_load, &QToolButton::clicked, this, &RecipeDock::loadRequested);
    connect(m_save, &QToolButton::clicked, this, &RecipeDock::saveRequested);
    connect(m_view->selectionModel(), &QItemSelectionModel::selectionChanged, this, &RecipeDock::updateButtons);
    connect(m_model, &RecipeRulesModel::edited, m_workbench,
        [this](const quantloupe::Recipe& recipe, const QString& text) { m_workbench->setRecipe(recipe, text); });
    connect(m_model, &RecipeRulesModel::refused, m_workbench,
        [this](const QString& reason) { m_workbench->reportFailure(tr("The rule was not changed"), reason); });
    connect(m_workbench, &Workbench::recipeChanged, this, &RecipeDock::refresh);
    connect(m_workbench, &Workbench::selectionChanged, this, &RecipeDock::updateButtons);
    refresh();
}

QToolButton* RecipeDock::makeButton(const QString& icon, const QString& text)
{
    auto* button = new QToolButton(this);
    button->setIcon(themeIcon(icon));
    button->setToolTip(text);
    button->setAccessibleName(text);
    button->setAutoRaise(true);
    return button;
}

int RecipeDock::currentRow() const
{
    const auto rows = m_view->selectionModel()->selectedRows();
    return rows.size() == 1 ? rows.first().row() : -1;
}

void RecipeDock::refresh()
{
    m_model->setRecipe(m_workbench->recipe(), m_workbench->catalog());
    const auto& plan = m_workbench->plan();
    if (m_workbench->hasModel()) {
        const auto ratio = plan.bytes > 0 ? static_cast<double>(plan.baseBytes) / static_cast<double>(plan.bytes) : 0.0;
        m_totals->setText(tr("<b>%1</b> · <b>%2</b> of %3 (%4×)")
                              .arg(format::bitsPerWeight(plan.bitsPerWeight), format::bytes(plan.bytes),
                                  format::bytes(plan.baseBytes), format::number(ratio, 3)));
    } else {
        m_totals->setText(tr("Open a model to make a recipe."));
    }
    updateButtons();
}

void RecipeDock::updateButtons()
{
    const auto open = m_workbench->hasModel();
    const auto rows = m_view->selectionModel()->selectedRows();
    bool removable = false;
    for (const auto& index : rows)
        removable = removable || index.row() > 0;
    m_add->setEnabled(open);
    m_keep->setEnabled(open);
    m_remove->setEnabled(removable);
    m_up->setEnabled(m_model->canMove(currentRow(), -1));
    m_down->setEnabled(m_model->canMove(currentRow(), +1));
    m_load->setEnabled(open);
    m_save->setEnabled(open);
}

void RecipeDock::resizeEvent(QResizeEvent* event)
{
    QDockWidget::resizeEvent(event);
    // In a narrow dock the patterns are worth more than how many tensors each decides, which the tool tip says too.
    m_view->setColumnHidden(RecipeRulesModel::Tensors, width() < fontMetrics().averageCharWidth() * 46);
}
