// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/docks/model_dock.h"

#include "widgets/docks/scheme_delegate.h"
#include "widgets/docks/scheme_menu.h"
#include "widgets/models/tensor_filter_proxy.h"
#include "widgets/models/tensor_tree_model.h"
#include "widgets/theme/fonts.h"
#include "widgets/theme/icons.h"
#include "widgets/workbench/workbench.h"

#include <QClipboard>
#include <QGuiApplication>
#include <QHeaderView>
#include <QLineEdit>
#include <QMenu>
#include <QShortcut>
#include <QStyledItemDelegate>
#include <QTimer>
#include <QTreeView>
#include <QVBoxLayout>

#include <algorithm>
#include <chrono>
#include <utility>

namespace {

/// Rows with some air.
class RoomyDelegate final : public QStyledItemDelegate
{
public:
    using QStyledItemDelegate::QStyledItemDelegate;
    QSize sizeHint(const QStyleOptionViewItem& option, const QModelIndex& index) const override
    {
        return QStyledItemDelegate::sizeHint(option, index) + QSize(0, 6);
    }
};

}  // namespace

ModelDock::ModelDock(Workbench* workbench, QWidget* parent)
    : QDockWidget(tr("Model"), parent)
    , m_workbench(workbench)
    , m_model(new TensorTreeModel(this))
    , m_proxy(new TensorFilterProxy(this))
    , m_filter(new QLineEdit)
    , m_view(new QTreeView)
{
    setObjectName(QStringLiteral("modelDock"));
    m_proxy->setSourceModel(m_model);

    m_filter->setPlaceholderText(tr("Filter by name, role or scheme"));
    m_filter->setAccessibleName(tr("Filter tensors"));
    m_filter->setClearButtonEnabled(true);
    m_filter->addAction(themeIcon(QStringLiteral("filter")), QLineEdit::LeadingPosition);
    // Typing goes on while a thousand rows are sifted once per pause, not per letter.
    auto* pause = new QTimer(this);
    pause->setSingleShot(true);
    pause->setInterval(std::chrono::milliseconds(80));
    connect(m_filter, &QLineEdit::textChanged, pause, qOverload<>(&QTimer::start));
    connect(pause, &QTimer::timeout, this, [this] {
        m_proxy->setFilterText(m_filter->text());
        if (m_filter->text().isEmpty())
            onSelectionChanged();
        else
            m_view->expandAll();
    });

    m_view->setModel(m_proxy);
    m_view->setAccessibleName(tr("Tensors of the model"));
    m_view->setUniformRowHeights(true);
    m_view->setSelectionMode(QAbstractItemView::ExtendedSelection);
    m_view->setEditTriggers(QAbstractItemView::DoubleClicked);
    // F2 edits the one cell of the row that can be edited, wherever the cursor is, and with it the whole selection.
    auto* edit = new QShortcut(Qt::Key_F2, m_view, nullptr, nullptr, Qt::WidgetShortcut);
    connect(edit, &QShortcut::activated, this,
        [this] { m_view->edit(m_view->currentIndex().siblingAtColumn(TensorTreeModel::Scheme)); });
    m_view->setAlternatingRowColors(true);
    m_view->setFont(tabularFont(font()));
    m_view->setIndentation(14);
    m_view->setSortingEnabled(true);
    m_view->header()->setSortIndicatorClearable(true);
    m_view->sortByColumn(-1, Qt::AscendingOrder);
    // What is read most stands next to the name, whatever the dock's width.
    m_view->header()->setStretchLastSection(false);
    m_view->header()->moveSection(TensorTreeModel::Scheme, 1);
    m_view->header()->moveSection(m_view->header()->visualIndex(TensorTreeModel::Sqnr), 2);
    m_view->header()->moveSection(m_view->header()->visualIndex(TensorTreeModel::Size), 3);
    m_view->setItemDelegate(new RoomyDelegate(this));
    m_view->setItemDelegateForColumn(
        TensorTreeModel::Scheme, new SchemeDelegate([this] { return commonSchemes(*m_workbench); }, true, this));
    m_view->setContextMenuPolicy(Qt::CustomContextMenu);
    connect(m_view, &QWidget::customContextMenuRequested, this, [this](QPoint position) {
        QMenu menu(this);
        fillMenu(&menu);
        menu.exec(m_view->viewport()->mapToGlobal(position));
    });
    connect(m_view, &QAbstractItemView::activated, this, [this](const QModelIndex& index) {
        if (index.column() != TensorTreeModel::Scheme)
            m_workbench->openLayer(m_model->tensorAt(m_proxy->mapToSource(index)));
    });
    connect(m_view->selectionModel(), &QItemSelectionModel::selectionChanged, this, &ModelDock::takeSelection);
    connect(m_view->selectionModel(), &QItemSelectionModel::currentChanged, this, &ModelDock::takeSelection);
    connect(m_model, &TensorTreeModel::schemeEdited, this, &ModelDock::applyScheme);

    auto* content = new QWidget;
    auto* layout = new QVBoxLayout(content);
    layout->setContentsMargins(4, 4, 4, 4);
    layout->setSpacing(4);
    layout->addWidget(m_filter);
    layout->addWidget(m_view);
    setWidget(content);

    connect(m_workbench, &Workbench::modelChanged, this, &ModelDock::onModelChanged);
    connect(m_workbench, &Workbench::recipeChanged, this, [this] { m_model->setPlan(m_workbench->plan()); });
    connect(m_workbench, &Workbench::studyChanged, this, [this] { m_model->setStudy(m_workbench->study()); });
    connect(m_workbench, &Workbench::selectionChanged, this, &ModelDock::onSelectionChanged);
    onModelChanged();
}

void ModelDock::onModelChanged()
{
    // Resetting clears the tree's selection, which must not clear the window's.
    m_following = true;
    m_filter->clear();
    m_model->setContents(m_workbench->catalog(), m_workbench->plan(), m_workbench->study());
    m_following = false;
    const auto width = [this](const QString& sample) { return m_view->fontMetrics().horizontalAdvance(sample) + 12; };
    m_view->resizeColumnToContents(TensorTreeModel::Name);
    m_view->setColumnWidth(TensorTreeModel::Name, std::clamp(m_view->columnWidth(TensorTreeModel::Name), 130, 154));
    m_view->setColumnWidth(TensorTreeModel::Scheme, width(QStringLiteral("int4:g32")));
    m_view->setColumnWidth(TensorTreeModel::Sqnr, width(QStringLiteral("00.00 dB")));
    m_view->setColumnWidth(TensorTreeModel::Size, width(QStringLiteral("0000 KiB")));
    m_view->setColumnWidth(TensorTreeModel::Role, width(QStringLiteral("embed")));
    m_view->resizeColumnToContents(TensorTreeModel::Shape);
    if (m_proxy->rowCount() > 0 && m_model->rowCount() <= 40)
        for (int row = 0; row < std::min(3, m_proxy->rowCount()); ++row)
            m_view->expand(m_proxy->index(row, 0));
    onSelectionChanged();
}

void ModelDock::onSelectionChanged()
{
    if (std::exchange(m_following, true))
        return;
    QItemSelection selection;
    QModelIndex current;
    const auto tensors = m_workbench->selection();
    for (const auto& tensor : tensors)
        if (const auto index = m_proxy->mapFromSource(m_model->indexOf(tensor)); index.isValid()) {
            selection.select(index, index);
            current = index;
        }
    m_view->selectionModel()->select(selection, QItemSelectionModel::ClearAndSelect | QItemSelectionModel::Rows);
    if (current.isValid()) {
        m_view->selectionModel()->setCurrentIndex(current, QItemSelectionModel::NoUpdate);
        m_view->scrollTo(current);
    }
    m_following = false;
}

void ModelDock::takeSelection()
{
    if (std::exchange(m_following, true))
        return;
    QStringList tensors;
    const auto current = m_proxy->mapToSource(m_view->currentIndex());
    const auto currentTensor = m_model->tensorAt(current);
    const auto rows = m_view->selectionModel()->selectedRows();
    for (const auto& row : rows)
        for (const auto& tensor : row.data(TensorTreeModel::TensorsRole).toStringList())
            if (!tensors.contains(tensor))
                tensors << tensor;
    // The current one comes last: it is what the Layer page shows.
    if (const auto at = tensors.indexOf(currentTensor); at >= 0)
        tensors.move(at, tensors.size() - 1);
    m_workbench->select(tensors);
    m_following = false;
}

void ModelDock::applyScheme(QStringList tensors, const QString& text)
{
    // An edit inside a multiple selection is meant for all of it.
    const auto selection = m_workbench->selection();
    if (selection.size() > 1 && !tensors.isEmpty() && selection.contains(tensors.first()))
        tensors = selection;
    if (text.isEmpty()) {
        m_workbench->setScheme(tensors, std::nullopt);
        return;
    }
    const auto plan = quantloupe::LayerPlan::parse(text.toStdString());
    if (plan)
        m_workbench->setScheme(tensors, plan->weights);
    else
        m_workbench->reportFailure(tr("The scheme was not changed"), QString::fromStdString(describe(plan.error())));
}

void ModelDock::fillMenu(QMenu* menu)
{
    const auto tensors = m_workbench->selection();
    auto* schemes = menu->addMenu(tr("Set &scheme"));
    fillSchemeMenu(schemes, *m_workbench, [this, tensors](const QString& text) { applyScheme(tensors, text); });
    schemes->addSeparator();
    connect(schemes->addAction(tr("&Other…")), &QAction::triggered, this,
        [this] { m_view->edit(m_view->currentIndex().siblingAtColumn(TensorTreeModel::Scheme)); });
    auto* keep = menu->addAction(tr("&Keep as stored"));
    connect(keep, &QAction::triggered, this, [this, tensors] { m_workbench->setScheme(tensors, std::nullopt); });
    menu->addSeparator();
    auto* open = menu->addAction(tr("Open in &Layer page"));
    connect(open, &QAction::triggered, this, [this] { m_workbench->openLayer(m_workbench->currentTensor()); });
    auto* measure = menu->addAction(tr("&Measure first"));
    connect(
        measure, &QAction::triggered, this, [this, tensors] { m_workbench->analyze(tensors, m_workbench->sweep()); });
    auto* copy = menu->addAction(tensors.size() > 1 ? tr("&Copy names") : tr("&Copy name"));
    connect(copy, &QAction::triggered, this, [tensors] { QGuiApplication::clipboard()->setText(tensors.join(u'\n')); });
    for (auto* action : {schemes->menuAction(), keep, open, measure, copy})
        action->setEnabled(!tensors.isEmpty());
}

void ModelDock::focusFilter()
{
    show();
    raise();
    m_filter->setFocus(Qt::ShortcutFocusReason);
    m_filter->selectAll();
}
