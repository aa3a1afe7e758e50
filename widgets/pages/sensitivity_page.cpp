// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/pages/sensitivity_page.h"

#include "widgets/plots/metric_text.h"
#include "widgets/plots/study_figures.h"
#include "widgets/workbench/workbench.h"

#include <QComboBox>
#include <QGuiApplication>
#include <QHBoxLayout>
#include <QLabel>
#include <QSignalBlocker>
#include <QSplitter>
#include <QStandardItemModel>
#include <QTabWidget>
#include <QVBoxLayout>

#include <algorithm>

using quantloupe::ErrorMetric;

namespace {

constexpr std::size_t rankingLength = 20;

QString whatMakesKnown(ErrorMetric metric)
{
    switch (metric) {
    case ErrorMetric::OutputError: return SensitivityPage::tr("Not known yet: Analyze → Calibrate on text");
    case ErrorMetric::Fisher:
    case ErrorMetric::Kfac:
        return SensitivityPage::tr("Not known yet: Analyze → Calibrate on text, and take gradients too");
    case ErrorMetric::OnePointKl:
    case ErrorMetric::MeasuredKl: return SensitivityPage::tr("Not known yet: Analyze → Rank layers by text");
    default: return SensitivityPage::tr("Not known yet: Analyze → Analyze");
    }
}

QLabel* labelFor(QWidget* field, const QString& text)
{
    auto* label = new QLabel(text);
    label->setBuddy(field);
    return label;
}

}  // namespace

SensitivityPage::SensitivityPage(Workbench* workbench, QWidget* parent)
    : QWidget(parent)
    , m_workbench(workbench)
    , m_metric(new QComboBox)
    , m_order(new QComboBox)
    , m_scheme(new QComboBox)
    , m_caption(new QLabel)
    , m_map(new SensitivityMapPlot)
    , m_views(new QTabWidget)
    , m_ranking(new RankingPlot)
    , m_roles(new RoleBoxPlot)
    , m_depth(new DepthLinesPlot)
{
    m_metric->setObjectName(QStringLiteral("metric"));
    offerMetrics({quantloupe::ErrorMetric::Sqnr});
    m_order->setObjectName(QStringLiteral("order"));
    m_order->addItem(tr("By depth"), static_cast<int>(figures::RowOrder::Depth));
    m_order->addItem(tr("By role"), static_cast<int>(figures::RowOrder::Role));
    m_order->setToolTip(tr("Order of the map's rows: through the model, or tensors of one role together."));
    m_scheme->setObjectName(QStringLiteral("scheme"));
    m_scheme->setSizeAdjustPolicy(QComboBox::AdjustToContents);
    m_scheme->setToolTip(tr("The scheme that ranking, roles and depth are drawn for."));

    auto* bar = new QHBoxLayout;
    bar->addWidget(labelFor(m_metric, tr("&Metric")));
    bar->addWidget(m_metric);
    bar->addSpacing(12);
    bar->addWidget(labelFor(m_order, tr("&Order")));
    bar->addWidget(m_order);
    bar->addStretch(1);
    bar->addWidget(labelFor(m_scheme, tr("S&cheme of the views")));
    bar->addWidget(m_scheme);

    m_caption->setWordWrap(true);
    m_caption->setObjectName(QStringLiteral("caption"));
    m_caption->setForegroundRole(QPalette::PlaceholderText);
    m_views->setObjectName(QStringLiteral("views"));
    m_views->setDocumentMode(true);
    m_views->addTab(m_ranking, tr("Ranking"));
    m_views->addTab(m_roles, tr("Roles"));
    m_views->addTab(m_depth, tr("Depth"));
    auto* splitter = new QSplitter;
    splitter->addWidget(m_map);
    splitter->addWidget(m_views);
    splitter->setStretchFactor(0, 3);
    splitter->setStretchFactor(1, 2);
    splitter->setSizes({600, 400});
    splitter->setChildrenCollapsible(false);

    auto* layout = new QVBoxLayout(this);
    layout->addLayout(bar);
    layout->addWidget(m_caption);
    layout->addWidget(splitter, 1);

    connect(m_metric, &QComboBox::activated, this, [this] { m_metricChosen = true; });
    connect(m_metric, &QComboBox::currentIndexChanged, this, &SensitivityPage::refresh);
    connect(m_metric, &QComboBox::currentIndexChanged, this, &SensitivityPage::explain);
    connect(m_order, &QComboBox::currentIndexChanged, this, &SensitivityPage::refresh);
    connect(m_scheme, &QComboBox::activated, this, [this] {
        m_chosenScheme = m_scheme->currentText();
        refreshViews();
    });
    for (Plot* plot : {static_cast<Plot*>(m_map), static_cast<Plot*>(m_ranking), static_cast<Plot*>(m_roles),
             static_cast<Plot*>(m_depth)}) {
        connect(plot, &Plot::tensorClicked, this, &SensitivityPage::select);
        connect(plot, &Plot::tensorDoubleClicked, m_workbench, &Workbench::openLayer);
    }
    connect(m_map, &SensitivityMapPlot::schemeChosen, this, &SensitivityPage::use);
    connect(m_workbench, &Workbench::modelChanged, this, [this] {
        m_chosenScheme.clear();
        m_metricChosen = false;
        refresh();
    });
    connect(m_workbench, &Workbench::studyChanged, this, &SensitivityPage::refresh);
    connect(m_workbench, &Workbench::recipeChanged, this, &SensitivityPage::refresh);
    connect(m_workbench, &Workbench::selectionChanged, this, &SensitivityPage::showSelection);
    explain();
    refresh();
}

void SensitivityPage::showEvent(QShowEvent* event)
{
    QWidget::showEvent(event);
    if (m_stale)
        refresh();
}

ErrorMetric SensitivityPage::shownMetric() const
{
    return static_cast<ErrorMetric>(m_metric->currentData().toInt());
}

std::string SensitivityPage::scheme() const
{
    return m_scheme->currentText().toStdString();
}

/// Lists all; what the study does not know is off, and says what would make it known.
void SensitivityPage::offerMetrics(const std::vector<ErrorMetric>& known)
{
    const QSignalBlocker blocker(m_metric);
    if (m_metric->count() == 0)
        for (const ErrorMetric metric : quantloupe::allErrorMetrics())
            m_metric->addItem(metricTitle(metric), static_cast<int>(metric));
    const auto* items = qobject_cast<QStandardItemModel*>(m_metric->model());
    for (int i = 0; i < m_metric->count(); ++i) {
        const auto metric = static_cast<ErrorMetric>(m_metric->itemData(i).toInt());
        const bool isKnown = std::find(known.begin(), known.end(), metric) != known.end();
        items->item(i)->setEnabled(isKnown);
        items->item(i)->setToolTip(isKnown ? metricExplanation(metric) : whatMakesKnown(metric));
    }
    if (!items->item(std::max(0, m_metric->currentIndex()))->isEnabled())
        m_metric->setCurrentIndex(m_metric->findData(static_cast<int>(known.front())));
}

/// Divergences say most: they are shown as soon as they are known, unless somebody has chosen.
void SensitivityPage::preferMetric(ErrorMetric best)
{
    const int index = m_metric->findData(static_cast<int>(best));
    const QSignalBlocker blocker(m_metric);
    if (!m_metricChosen && best != ErrorMetric::ModelError && index >= 0)
        m_metric->setCurrentIndex(index);
}

void SensitivityPage::explain()
{
    const bool ofPredictions = quantloupe::predictsKl(shownMetric());
    m_caption->setText(ofPredictions
            ? tr("Divergences compare layers with each other: they say what quantizing each alone does to the model's "
                 "predictions. Those of several layers add up to about what they do together.")
            : tr("Errors of weights and outputs rank bit widths of one layer well, but layers against each other only "
                 "roughly: Analyze → Rank layers by text measures what each does to the predictions."));
    m_metric->setToolTip(metricExplanation(shownMetric()));
    m_metric->setWhatsThis(metricExplanation(shownMetric()));
}

void SensitivityPage::refresh()
{
    // A sweep changes the study several times a second: nobody pays for a page that is not looked at.
    m_stale = !isVisible();
    if (m_stale)
        return;
    const auto study = m_workbench->study();
    auto known = quantloupe::knownMetrics(*study);
    if (known.empty())
        known.push_back(ErrorMetric::Sqnr);
    offerMetrics(known);
    preferMetric(quantloupe::bestMetric(*study));
    explain();
    m_map->setEmptyText(
        m_workbench->hasModel() ? tr("Analyze the model to see how schemes compare") : tr("Open a model to begin"));
    m_map->setData(figures::sensitivityMap(
        *study, shownMetric(), static_cast<figures::RowOrder>(m_order->currentData().toInt()), &m_workbench->plan()));
    showSchemes();
    refreshViews();
}

void SensitivityPage::showSchemes()
{
    const auto study = m_workbench->study();
    QStringList schemes;
    for (const std::string& text : study->schemes())
        schemes << QString::fromStdString(text);
    // Until one is chosen: what most tensors get by the recipe, where that was measured.
    QString wanted = m_chosenScheme;
    if (!schemes.contains(wanted))
        wanted = QString::fromStdString(m_workbench->recipe().defaultPlan.weights.toString());
    if (!schemes.contains(wanted))
        wanted = QString::fromStdString(quantloupe::referenceScheme(*study).value_or(std::string()));
    QStringList shown;
    for (int i = 0; i < m_scheme->count(); ++i)
        shown << m_scheme->itemText(i);
    if (shown != schemes) {
        m_scheme->clear();
        m_scheme->addItems(schemes);
    }
    m_scheme->setCurrentText(wanted);
    m_scheme->setEnabled(!schemes.isEmpty());
}

void SensitivityPage::refreshViews()
{
    const auto study = m_workbench->study();
    m_ranking->setData(figures::ranking(*study, shownMetric(), scheme(), rankingLength));
    m_roles->setData(figures::roleBoxes(*study, shownMetric(), scheme()));
    m_depth->setData(figures::depthLines(*study, shownMetric(), scheme()));
    showSelection();
}

void SensitivityPage::showSelection()
{
    const QStringList tensors = m_workbench->selection();
    m_map->setSelected(tensors);
    m_ranking->setSelected(tensors);
    m_roles->setSelected(tensors);
    m_depth->setSelected(tensors);
}

void SensitivityPage::select(const QString& tensor)
{
    if (!(QGuiApplication::keyboardModifiers() & (Qt::ControlModifier | Qt::ShiftModifier))) {
        m_workbench->select({tensor});
        return;
    }
    QStringList tensors = m_workbench->selection();
    if (tensors.removeAll(tensor) == 0)
        tensors << tensor;
    m_workbench->select(tensors);
}

void SensitivityPage::use(const QString& tensor, const QString& scheme)
{
    const auto parsed = quantloupe::Scheme::parse(scheme.toStdString());
    if (!parsed)
        return;
    // A command on one of several selected tensors means all of them, as in the tree.
    const QStringList selected = m_workbench->selection();
    m_workbench->setScheme(selected.contains(tensor) ? selected : QStringList {tensor}, *parsed);
}
