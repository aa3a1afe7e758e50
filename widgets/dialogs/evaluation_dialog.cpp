// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/dialogs/evaluation_dialog.h"

#include "widgets/dialogs/job_row.h"
#include "widgets/plots/depth_error_plot.h"
#include "widgets/support/format_text.h"

#include <QApplication>
#include <QClipboard>
#include <QDialogButtonBox>
#include <QHBoxLayout>
#include <QHeaderView>
#include <QLabel>
#include <QPushButton>
#include <QTableWidget>
#include <QVBoxLayout>

#include <cmath>
#include <utility>
#include <vector>

namespace {

QTableWidget* tableOf(const QStringList& header, const QString& name)
{
    auto* table = new QTableWidget(0, static_cast<int>(header.size()));
    table->setHorizontalHeaderLabels(header);
    table->setAccessibleName(name);
    table->setEditTriggers(QAbstractItemView::NoEditTriggers);
    table->setSelectionBehavior(QAbstractItemView::SelectRows);
    table->verticalHeader()->hide();
    table->horizontalHeader()->setSectionResizeMode(0, QHeaderView::Stretch);
    table->horizontalHeader()->setSectionResizeMode(1, QHeaderView::ResizeToContents);
    table->setShowGrid(false);
    return table;
}

void addRow(QTableWidget* table, const QString& what, const QString& value, const QString& explanation = {})
{
    const int row = table->rowCount();
    table->insertRow(row);
    auto* title = new QTableWidgetItem(what);
    auto* figure = new QTableWidgetItem(value);
    figure->setTextAlignment(Qt::AlignRight | Qt::AlignVCenter);
    for (auto* item : {title, figure})
        item->setToolTip(explanation);
    table->setItem(row, 0, title);
    table->setItem(row, 1, figure);
}

QString interval(const quantloupe::Perplexity& perplexity)
{
    return EvaluationDialog::tr("%1 (%2 to %3)")
        .arg(
            format::number(perplexity.value, 5), format::number(perplexity.low, 5), format::number(perplexity.high, 5));
}

}  // namespace

EvaluationDialog::EvaluationDialog(const EvaluationRun& run, const QString& recipe, QWidget* parent)
    : QDialog(parent)
    , m_recipe(recipe)
    , m_soFar(run.soFar)
    , m_summary(new QLabel(tr("%1, against the model as stored: reading the text…").arg(recipe)))
    , m_figures(tableOf({tr("Figure"), tr("Value")}, tr("Figures of the evaluation")))
    , m_depth(tableOf({tr("Residual stream behind"), tr("SQNR")}, tr("Error by depth")))
    , m_depthPlot(new DepthErrorPlot)
{
    setWindowTitle(tr("Evaluation on %1").arg(run.text));
    setAttribute(Qt::WA_DeleteOnClose);
    m_summary->setObjectName(QStringLiteral("summary"));
    m_summary->setWordWrap(true);
    auto* byDepth = new QVBoxLayout;
    byDepth->addWidget(m_depthPlot, 3);
    byDepth->addWidget(m_depth, 2);
    auto* tables = new QHBoxLayout;
    tables->addWidget(m_figures, 1);
    tables->addLayout(byDepth, 1);
    auto* buttons = new QDialogButtonBox(QDialogButtonBox::Close);
    auto* copyButton = buttons->addButton(tr("&Copy"), QDialogButtonBox::ActionRole);
    copyButton->setToolTip(tr("Copy both tables, tab separated"));
    auto* layout = new QVBoxLayout(this);
    layout->addWidget(m_summary);
    if (run.job) {
        auto* row = new JobRow(run.job);
        layout->addWidget(row);
        connect(row, &JobRow::advanced, this, &EvaluationDialog::takeNew);
        connect(row, &JobRow::ended, this, &EvaluationDialog::conclude);
    }
    layout->addLayout(tables, 1);
    layout->addWidget(buttons);
    resize(880, 540);
    connect(copyButton, &QPushButton::clicked, this, &EvaluationDialog::copy);
    connect(buttons, &QDialogButtonBox::rejected, this, &QDialog::close);
    showDepth({});
    takeNew();
}

void EvaluationDialog::takeNew()
{
    const auto more = m_soFar->since(m_taken);
    if (more.empty())
        return;
    m_taken += more.size();
    showState(more.back());
}

void EvaluationDialog::conclude(Job::State state)
{
    takeNew();
    if (state == Job::State::Failed)
        close();  // the window says why
    else if (state == Job::State::Cancelled)
        m_summary->setText(tr("Stopped. %1").arg(m_summary->text()));
}

void EvaluationDialog::showState(const EvaluationState& state)
{
    const auto& evaluation = state.evaluation;
    const auto count = [](std::size_t value) { return QLocale().toString(qulonglong(value)); };
    auto summary = evaluation.scored > 0
        ? tr("%1, against the model as stored: %2 predictions in %3 windows.")
              .arg(m_recipe, count(evaluation.scored), count(evaluation.windows))
        : tr("%1, against the model as stored. Predictions come behind the last block.").arg(m_recipe);
    if (!state.alphas.empty()) {
        const auto least = format::number(state.alphas.front(), 2), most = format::number(state.alphas.back(), 2);
        summary += u' '
            + (least == most ? tr("Norms smooth with α = %1.").arg(least)
                             : tr("Norms smooth with α from %1 to %2.").arg(least, most));
    }
    m_summary->setText(summary);
    m_figures->setRowCount(0);
    if (evaluation.scored > 0)
        showFigures(evaluation);
    showDepth(evaluation);
}

void EvaluationDialog::showFigures(const quantloupe::Evaluation& evaluation)
{
    addRow(m_figures, tr("Perplexity, as stored"), interval(evaluation.base),
        tr("Exponential of the mean surprise at the right token, with its 95 % interval. Lower is better."));
    if (evaluation.quantized)
        addRow(m_figures, tr("Perplexity, quantized"), interval(*evaluation.quantized),
            tr("The same of the quantized model. The intervals are of the text, which both share: compare by the "
               "divergence."));
    if (const auto& divergence = evaluation.divergence) {
        const auto nats = [](double value) { return tr("%1 nats").arg(format::number(value, 4)); };
        addRow(m_figures, tr("KL divergence, mean"), nats(divergence->mean),
            tr("How far the quantized model's predictions are from the original's. 0 when they are the same."));
        addRow(m_figures, tr("KL divergence, median"), nats(divergence->median));
        addRow(m_figures, tr("KL divergence, 99 %"), nats(divergence->p99),
            tr("One prediction in a hundred is further off than this."));
        addRow(m_figures, tr("KL divergence, largest"), nats(divergence->max));
        addRow(m_figures, tr("Same likeliest token"), format::percent(divergence->topAgreement),
            tr("Share of predictions where both models find the same token likeliest."));
        addRow(
            m_figures, tr("Right token's probability, RMS change"), format::percent(divergence->probabilityChangeRms));
    }
}

void EvaluationDialog::showDepth(const quantloupe::Evaluation& evaluation)
{
    m_depth->setRowCount(0);
    for (std::size_t i = 0; i < evaluation.depth.size(); ++i) {
        const double sqnr = evaluation.depth[i].sqnr();
        addRow(m_depth, i == 0 ? tr("embedding") : tr("block %1").arg(i - 1),
            std::isfinite(sqnr) ? format::decibels(sqnr) : tr("no error"),
            tr("Signal of the residual stream over the error in it. Where it rises the model repairs, where it falls "
               "error is added or grows."));
    }
    std::vector<double> decibels;
    for (const auto& depth : evaluation.depth)
        decibels.push_back(depth.sqnr());
    m_depthPlot->setData(std::move(decibels));
    for (auto* part : {static_cast<QWidget*>(m_depth), static_cast<QWidget*>(m_depthPlot)})
        part->setVisible(!evaluation.depth.empty());
}

void EvaluationDialog::copy() const
{
    QString lines;
    for (const auto* table : {m_figures, m_depth})
        for (int row = 0; row < table->rowCount(); ++row)
            lines += table->item(row, 0)->text() + u'\t' + table->item(row, 1)->text() + u'\n';
    QApplication::clipboard()->setText(lines);
}
