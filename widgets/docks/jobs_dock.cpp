// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/docks/jobs_dock.h"

#include "widgets/models/jobs_model.h"
#include "widgets/theme/fonts.h"

#include <QApplication>
#include <QHeaderView>
#include <QLabel>
#include <QPlainTextEdit>
#include <QPushButton>
#include <QSplitter>
#include <QStyledItemDelegate>
#include <QTableView>
#include <QHBoxLayout>

namespace {

/// A bar for work under way, plain text for all else.
class ProgressDelegate final : public QStyledItemDelegate
{
public:
    using QStyledItemDelegate::QStyledItemDelegate;

    void paint(QPainter* painter, const QStyleOptionViewItem& option, const QModelIndex& index) const override
    {
        const auto fraction = index.data(JobsModel::ValueRole).toDouble();
        if (index.data(JobsModel::StateRole).toInt() != static_cast<int>(Job::State::Running)) {
            QStyledItemDelegate::paint(painter, option, index);
            return;
        }
        QStyleOptionProgressBar bar;
        bar.palette = option.palette;
        bar.fontMetrics = option.fontMetrics;
        bar.direction = option.direction;
        bar.state = QStyle::State_Enabled | QStyle::State_Horizontal;
        bar.rect = option.rect.adjusted(2, 3, -2, -3);
        bar.minimum = 0;
        // Maximum 0 is "busy": the total is not known yet.
        bar.maximum = fraction < 0.0 ? 0 : 1000;
        bar.progress = fraction < 0.0 ? 0 : static_cast<int>(fraction * 1000.0);
        bar.text = index.data().toString();
        bar.textVisible = true;
        bar.textAlignment = Qt::AlignCenter;
        const auto* style = option.widget ? option.widget->style() : QApplication::style();
        style->drawControl(QStyle::CE_ProgressBar, &bar, painter, option.widget);
    }
};

constexpr int cancelColumn = JobsModel::TimeLeft;

}  // namespace

JobsDock::JobsDock(JobList* jobs, QWidget* parent)
    : QDockWidget(tr("Jobs"), parent)
    , m_model(new JobsModel(jobs, this))
    , m_view(new QTableView)
    , m_log(new QPlainTextEdit)
{
    setObjectName(QStringLiteral("jobsDock"));
    m_view->setModel(m_model);
    m_view->setAccessibleName(tr("Jobs"));
    m_view->setFont(tabularFont(font()));
    m_view->setShowGrid(false);
    m_view->setSelectionMode(QAbstractItemView::NoSelection);
    m_view->setFocusPolicy(Qt::TabFocus);
    m_view->setWordWrap(false);
    m_view->verticalHeader()->hide();
    m_view->verticalHeader()->setDefaultSectionSize(fontMetrics().height() + 12);
    m_view->setItemDelegateForColumn(JobsModel::Progress, new ProgressDelegate(this));
    auto* header = m_view->horizontalHeader();
    header->setHighlightSections(false);
    header->setSectionResizeMode(QHeaderView::Interactive);
    header->setSectionResizeMode(JobsModel::Title, QHeaderView::Stretch);
    const auto width = [this](const QString& text) { return fontMetrics().horizontalAdvance(text) + 24; };
    header->resizeSection(JobsModel::Progress, width(QStringLiteral("0000000000000000000")));
    header->resizeSection(JobsModel::Items, width(tr("%1/%2 tensors").arg(1000).arg(1000)));
    header->resizeSection(JobsModel::Rate, width(QStringLiteral("000.0 MB/s")));
    header->resizeSection(JobsModel::TimeLeft, width(QStringLiteral("00:00 left  Cancel    ")));

    m_log->setReadOnly(true);
    m_log->setMaximumBlockCount(1000);
    m_log->setLineWrapMode(QPlainTextEdit::NoWrap);
    m_log->setAccessibleName(tr("Log"));
    m_log->setPlaceholderText(tr("What happened is listed here."));
    m_log->setPlainText(jobs->log().join(u'\n'));
    connect(jobs, &JobList::logged, m_log, &QPlainTextEdit::appendPlainText);

    auto* splitter = new QSplitter(Qt::Horizontal);
    splitter->addWidget(m_view);
    splitter->addWidget(m_log);
    splitter->setStretchFactor(0, 3);
    splitter->setStretchFactor(1, 2);
    splitter->setContentsMargins(4, 4, 4, 4);
    setWidget(splitter);

    connect(m_model, &QAbstractItemModel::rowsInserted, this, [this](const QModelIndex&, int first, int last) {
        updateButtons(first, last);
        m_view->scrollToBottom();
    });
    connect(m_model, &QAbstractItemModel::dataChanged, this,
        [this](const QModelIndex& first, const QModelIndex& last) { updateButtons(first.row(), last.row()); });
    if (m_model->rowCount() > 0)
        updateButtons(0, m_model->rowCount() - 1);
}

void JobsDock::updateButtons(int first, int last)
{
    for (int row = first; row <= last; ++row) {
        const auto index = m_model->index(row, cancelColumn);
        auto* job = m_model->jobAt(row);
        auto* cell = m_view->indexWidget(index);
        if (!job->isActive()) {
            if (cell)
                m_view->setIndexWidget(index, nullptr);
            continue;
        }
        if (!cell) {
            cell = new QWidget;
            cell->setAutoFillBackground(true);
            auto* left = new QLabel;
            left->setObjectName(QStringLiteral("timeLeft"));
            auto* cancel = new QPushButton(tr("Cancel"));
            cancel->setObjectName(QStringLiteral("cancelJob"));
            cancel->setAccessibleName(tr("Cancel %1").arg(job->title()));
            connect(cancel, &QPushButton::clicked, job, &Job::cancel);
            auto* layout = new QHBoxLayout(cell);
            layout->setContentsMargins(4, 1, 2, 1);
            layout->addWidget(left, 1);
            layout->addWidget(cancel);
            m_view->setIndexWidget(index, cell);
        }
        cell->findChild<QLabel*>(QStringLiteral("timeLeft"))->setText(index.data().toString());
    }
}
