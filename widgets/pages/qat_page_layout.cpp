// SPDX-License-Identifier: GPL-3.0-or-later
// Where the parts of the QAT page lie.
#include "widgets/pages/elided_label.h"
#include "widgets/pages/qat_controls.h"
#include "widgets/pages/qat_layers.h"
#include "widgets/pages/qat_page.h"
#include "widgets/pages/section.h"
#include "widgets/plots/level_histogram_plot.h"
#include "widgets/plots/step_size_plot.h"
#include "widgets/plots/training_curve_plot.h"

#include <QHBoxLayout>
#include <QLabel>
#include <QMenu>
#include <QProgressBar>
#include <QPushButton>
#include <QSplitter>
#include <QStackedWidget>
#include <QTabWidget>
#include <QTableWidget>
#include <QVBoxLayout>

namespace {

QSplitter* pairOf(QWidget* above, QWidget* below)
{
    auto* splitter = new QSplitter(Qt::Vertical);
    splitter->addWidget(above);
    splitter->addWidget(below);
    splitter->setChildrenCollapsible(false);
    return splitter;
}

}  // namespace

QWidget* QatPage::makeContent()
{
    m_start->setObjectName(QStringLiteral("start-training"));
    m_stop->setObjectName(QStringLiteral("stop-training"));
    m_save->setObjectName(QStringLiteral("save-trained"));
    m_discard->setObjectName(QStringLiteral("discard-training"));
    m_status->setObjectName(QStringLiteral("training-status"));
    m_watched->setObjectName(QStringLiteral("watched-layer"));
    m_distance->setForegroundRole(QPalette::PlaceholderText);
    m_distance->setToolTip(
        tr("Mean distance of the layer's weights from the levels that they are rounded to, in scales "
           "of their groups. Weights spread evenly between integers have 0.25."));
    m_save->setToolTip(tr("Writes a model with the codes, grids and norms as they were trained"));
    m_discard->setToolTip(tr("Forgets what was trained, and opens the choices for another training"));
    m_compare->setObjectName(QStringLiteral("compare-recipe"));
    m_compare->setToolTip(tr("Runs the present recipe with its algorithms, which training goes without, on the same "
                             "held-out text"));
    m_save->setMenu(m_saveMenu);
    m_saveMenu->setToolTipsVisible(true);
    m_status->setWordWrap(true);
    m_status->setTextInteractionFlags(Qt::TextSelectableByMouse);
    m_progress->setTextVisible(false);
    m_progress->setMaximumHeight(6);
    m_progress->setAccessibleName(tr("Progress of the training"));
    auto* buttons = new QHBoxLayout;
    for (auto* button : {m_start, m_stop, m_save, m_discard})
        buttons->addWidget(button);
    buttons->addWidget(m_status, 1);
    m_results->addWidget(makeWhole());
    m_results->addWidget(m_layers);

    auto* content = new QWidget;
    auto* layout = new QVBoxLayout(content);
    layout->addWidget(m_controls);
    layout->addLayout(buttons);
    layout->addWidget(m_progress);
    layout->addWidget(m_results, 1);
    return content;
}

/// What a training of the whole model shows.
QWidget* QatPage::makeWhole()
{
    m_views->setDocumentMode(true);
    m_views->setObjectName(QStringLiteral("training-views"));
    m_views->addTab(m_levels, tr("Weights"));
    m_views->setTabToolTip(0, m_levels->accessibleDescription());
    m_views->addTab(m_steps, tr("Step sizes"));
    m_views->setTabToolTip(1, m_steps->accessibleDescription());
    auto* layer = new QWidget;
    auto* column = new QVBoxLayout(layer);
    column->setContentsMargins({});
    auto* heading = new QHBoxLayout;
    heading->addWidget(m_watched, 1);
    heading->addWidget(m_distance);
    column->addLayout(heading);
    column->addWidget(m_views, 1);
    auto* figures = new Section(tr("Rounding and training"),
        tr("What the same schemes do to predictions of the held-out text, rounded to nearest and trained"), m_figures,
        {m_compare});
    auto* left = pairOf(new Section(m_loss->title(), m_loss->accessibleDescription(), m_loss),
        new Section(m_perplexity->title(), m_perplexity->accessibleDescription(), m_perplexity));
    auto* right = pairOf(figures, layer);
    right->setSizes({230, 320});
    auto* splitter = new QSplitter;
    splitter->addWidget(left);
    splitter->addWidget(right);
    splitter->setSizes({500, 500});
    splitter->setChildrenCollapsible(false);
    return splitter;
}
