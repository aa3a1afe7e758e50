// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/pages/why_panel.h"

#include "core/analysis/error_causes.h"
#include "widgets/models/cures_model.h"
#include "widgets/pages/layer_inspector.h"
#include "widgets/pages/row_table.h"
#include "widgets/workbench/workbench.h"

#include <QHBoxLayout>
#include <QHeaderView>
#include <QLabel>
#include <QPushButton>
#include <QTableView>
#include <QVBoxLayout>

using quantloupe::Cure;
using quantloupe::Result;

namespace {

constexpr QLatin1String triedCuresView("layer/cures");

}  // namespace

WhyPanel::WhyPanel(Workbench* workbench, LayerInspector* inspector, QWidget* parent)
    : QWidget(parent)
    , m_workbench(workbench)
    , m_inspector(inspector)
    , m_causes(new QLabel)
    , m_cures(new CuresModel(this))
    , m_table(new QTableView)
    , m_try(new QPushButton(tr("&Try what helps")))
    , m_use(new QPushButton(tr("&Use this")))
{
    m_causes->setObjectName(QStringLiteral("causes"));
    m_causes->setTextFormat(Qt::PlainText);
    m_causes->setWordWrap(true);
    m_causes->setTextInteractionFlags(Qt::TextSelectableByMouse);
    m_table->setObjectName(QStringLiteral("cures"));
    m_table->setModel(m_cures);
    setUpRowTable(m_table);
    m_table->setAccessibleName(tr("What helps, best first"));
    m_table->setWordWrap(false);
    m_table->horizontalHeader()->setSectionResizeMode(CuresModel::What, QHeaderView::Stretch);
    m_table->setMinimumHeight(fontMetrics().lineSpacing() * 8);
    m_try->setObjectName(QStringLiteral("try-cures"));
    m_use->setObjectName(QStringLiteral("use-cure"));
    m_try->setToolTip(tr("Quantizes the tensor, or a sample of its rows, by everything that may help"));
    m_use->setToolTip(
        tr("Gives the tensor the scheme of the selected row. Rows that keep channels wider are figures: no "
           "scheme says them."));
    auto* buttons = new QHBoxLayout;
    buttons->addWidget(m_try);
    buttons->addWidget(m_use);
    buttons->addStretch(1);
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins({});
    layout->addWidget(m_causes);
    layout->addWidget(m_table, 1);
    layout->addLayout(buttons);

    connect(m_try, &QPushButton::clicked, this, &WhyPanel::tryCures);
    connect(m_use, &QPushButton::clicked, this, &WhyPanel::use);
    connect(m_table, &QTableView::doubleClicked, this, &WhyPanel::use);
    connect(m_table->selectionModel(), &QItemSelectionModel::selectionChanged, this, &WhyPanel::enable);
    connect(inspector, &LayerInspector::inspected, this, &WhyPanel::showCauses);
    connect(inspector, &LayerInspector::weightsReady, this, &WhyPanel::showCauses);
    connect(workbench, &Workbench::recipeChanged, this, &WhyPanel::showCauses);
    connect(workbench, &Workbench::modelChanged, this, [this] {
        forget();
        enable();
    });
    showCauses();
}

std::optional<quantloupe::Scheme> WhyPanel::scheme() const
{
    return m_inspector->tensor().isEmpty() ? std::nullopt : m_workbench->schemeOf(m_inspector->tensor());
}

void WhyPanel::forget()
{
    m_workbench->jobs()->cancel(triedCuresView);
    m_cures->setCures({});
    m_causes->clear();
    m_tensor.clear();
    m_scheme.reset();
}

void WhyPanel::showCauses()
{
    const auto wanted = scheme();
    if (m_tensor != m_inspector->tensor() || m_scheme != wanted) {
        forget();
        m_tensor = m_inspector->tensor();
        m_scheme = wanted;
    }
    const auto inspection = wanted ? m_inspector->find(*wanted) : nullptr;
    const auto weights = m_inspector->weights();
    if (!inspection || !weights) {
        m_causes->setText(
            wanted || m_tensor.isEmpty() ? QString() : tr("The tensor stays as stored: it loses nothing."));
    } else {
        const auto* inputs = m_workbench->study()->calibration.find(m_tensor.toStdString());
        QStringList lines;
        for (const auto& sentence : quantloupe::causesOf(*inspection, *weights, inputs).sentences())
            lines << QString::fromStdString(sentence);
        m_causes->setText(lines.join(u'\n'));
    }
    enable();
}

void WhyPanel::enable()
{
    m_try->setEnabled(
        m_scheme && m_inspector->isLive() && m_inspector->weights() && !m_workbench->jobs()->isActive(triedCuresView));
    const auto rows = m_table->selectionModel()->selectedRows();
    m_use->setEnabled(!rows.isEmpty() && !rows.front().data(CuresModel::SchemeRole).toString().isEmpty());
}

void WhyPanel::tryCures()
{
    const auto model = m_workbench->model();
    const auto weights = m_inspector->weights();
    const auto index = model ? model->find(m_tensor.toStdString()) : std::nullopt;
    if (!index || !weights || !m_scheme)
        return;
    auto* job = m_workbench->jobs()->compute<std::vector<Cure>>(
        this, {tr("Try what helps %1").arg(m_tensor), triedCuresView},
        [model, weights, tensor = *index, scheme = *m_scheme](
            std::stop_token stop, quantloupe::Progress& progress) -> Result<std::vector<Cure>> {
            return quantloupe::tryCures(model->tensors[tensor], *weights, scheme, model.get(), stop, progress);
        },
        [this, tensor = m_tensor, scheme = m_scheme](Result<std::vector<Cure>> cures) {
            if (tensor != m_tensor || scheme != m_scheme)
                return;
            if (cures) {
                m_cures->setCures(std::move(*cures));
                for (const int column : {CuresModel::Gain, CuresModel::Size, CuresModel::GainPerBit})
                    m_table->resizeColumnToContents(column);
            } else {
                m_workbench->reportFailure(
                    tr("Nothing could be tried"), QString::fromStdString(describe(cures.error())));
            }
        });
    connect(job, &Job::ended, this, &WhyPanel::enable);
    enable();
}

void WhyPanel::use()
{
    const auto rows = m_table->selectionModel()->selectedRows();
    if (rows.isEmpty())
        return;
    const auto text = rows.front().data(CuresModel::SchemeRole).toString();
    if (const auto chosen = quantloupe::Scheme::parse(text.toStdString()); !text.isEmpty() && chosen)
        m_workbench->setScheme({m_tensor}, *chosen);
}
