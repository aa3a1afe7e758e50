// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/pages/qat_figures.h"

#include "widgets/support/format_text.h"
#include "widgets/theme/fonts.h"

#include <QCoreApplication>
#include <QHeaderView>
#include <QTableWidget>

#include <cmath>
#include <optional>

using quantloupe::TrainingEvaluation;

namespace {

QString words(const char* text)
{
    return QCoreApplication::translate("QatPage", text);
}

void setFigure(QTableWidget* table, int row, int column, const QString& text, const QString& tip)
{
    auto* item = new QTableWidgetItem(text);
    item->setTextAlignment((column == 0 ? Qt::AlignLeft : Qt::AlignRight) | Qt::AlignVCenter);
    item->setToolTip(tip);
    table->setItem(row, column, item);
}

/// One row of the table: what a model made of the held-out text.
void setRow(QTableWidget* table, int row, const QString& name, const QString& tip, double perplexity,
    std::optional<double> divergence, std::optional<double> agreement)
{
    setFigure(table, row, 0, name, tip);
    setFigure(table, row, 1, format::number(perplexity, 5), tip);
    setFigure(table, row, 2, divergence ? format::number(*divergence, 4) : format::none(), tip);
    setFigure(table, row, 3, agreement ? format::percent(*agreement) : format::none(), tip);
}

}  // namespace

QTableWidget* makeTrainingFigures()
{
    auto* table = new QTableWidget(0, 4);
    table->setHorizontalHeaderLabels(
        {words("On the held-out text"), words("Perplexity"), words("KL (nats)"), words("Same token")});
    const char* tips[] {
        QT_TRANSLATE_NOOP("QatPage", "The model as stored, the same schemes without training, and the trained model"),
        QT_TRANSLATE_NOOP("QatPage", "Exponential of the mean surprise at the right token. Lower is better."),
        QT_TRANSLATE_NOOP(
            "QatPage", "Mean divergence of the predictions from the original's, per token. 0 when they are the same."),
        QT_TRANSLATE_NOOP("QatPage", "Share of predictions where both models find the same token likeliest."),
    };
    for (int column = 0; column < 4; ++column)
        table->horizontalHeaderItem(column)->setToolTip(words(tips[column]));
    table->setObjectName(QStringLiteral("training-figures"));
    table->setAccessibleName(words("Rounding and training side by side"));
    table->setEditTriggers(QAbstractItemView::NoEditTriggers);
    table->setSelectionBehavior(QAbstractItemView::SelectRows);
    table->setTabKeyNavigation(false);
    table->setShowGrid(false);
    table->setAlternatingRowColors(true);
    table->setWordWrap(false);
    table->setFont(tabularFont(table->font()));
    table->verticalHeader()->hide();
    table->verticalHeader()->setDefaultSectionSize(table->fontMetrics().height() + 6);
    table->horizontalHeader()->setHighlightSections(false);
    table->horizontalHeader()->setSectionResizeMode(QHeaderView::ResizeToContents);
    table->horizontalHeader()->setSectionResizeMode(0, QHeaderView::Stretch);
    return table;
}

void showTrainingFigures(QTableWidget* table, const TrainingSnapshot* snapshot)
{
    const auto* evaluations = snapshot ? &snapshot->history.evaluations : nullptr;
    if (!evaluations || evaluations->empty()) {
        table->setRowCount(0);
        return;
    }
    const auto& first = evaluations->front();
    const auto& last = evaluations->back();
    const bool learnedGrids = snapshot->rounded && !(*snapshot->rounded == first);
    const bool trained = last.step > 0;
    const auto since = snapshot->history.steps.size() - last.step;
    table->setRowCount(
        1 + (snapshot->rounded ? 1 : 0) + (learnedGrids ? 1 : 0) + (snapshot->compared ? 1 : 0) + (trained ? 1 : 0));
    int row = 0;
    setRow(table, row++, words("Original"), words("The model as stored"), first.teacherPerplexity, std::nullopt,
        std::nullopt);
    const auto add = [&](const QString& name, const QString& tip, const TrainingEvaluation& found) {
        setRow(table, row++, name, tip, found.perplexity, found.divergence, found.topAgreement);
    };
    if (snapshot->rounded)
        add(words("Rounded (PTQ)"), words("The same schemes, rounded to nearest without training"), *snapshot->rounded);
    if (learnedGrids)
        add(words("Fitted grids (PTQ)"),
            words("Where training began: grids of least squared error, weighed by the layers' inputs"), first);
    if (snapshot->compared)
        add(words("Recipe, as compared (PTQ)"),
            words("The recipe as it was when it was added, with its own schemes and algorithms"), *snapshot->compared);
    if (trained)
        add(words("Trained, step %1 (QAT)").arg(format::integer(last.step)),
            since == 0
                ? words("The trained codes and norms, as a checkpoint would hold them")
                : words("As it was after that step: %1 more are done, and not judged yet").arg(format::integer(since)),
            last);
}

TrainingCurvesData lossCurves(const TrainingSnapshot& snapshot, const quantloupe::TrainingOptions& options)
{
    TrainingCurve loss {.name = options.distils ? words("Loss (KL)") : words("Loss (next token)")};
    for (const auto& step : snapshot.history.steps) {
        loss.steps.push_back(step.step);
        loss.values.push_back(step.loss);
    }
    TrainingCurve divergence {.name = words("KL, held-out text")};
    for (const auto& found : snapshot.history.evaluations) {
        divergence.steps.push_back(found.step);
        divergence.values.push_back(found.divergence);
    }
    return {.lines = {std::move(loss), std::move(divergence)}, .steps = options.steps};
}

TrainingCurvesData perplexityCurves(const TrainingSnapshot& snapshot, const quantloupe::TrainingOptions& options)
{
    TrainingCurve line {.name = words("Trained")};
    for (const auto& found : snapshot.history.evaluations) {
        line.steps.push_back(found.step);
        line.values.push_back(found.perplexity);
    }
    TrainingCurvesData data {.lines = {std::move(line)}, .referenceName = words("Original"), .steps = options.steps};
    if (!snapshot.history.evaluations.empty())
        data.reference = snapshot.history.evaluations.front().teacherPerplexity;
    return data;
}
