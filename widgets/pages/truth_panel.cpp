// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/pages/truth_panel.h"

#include "widgets/dialogs/text_dialog.h"
#include "widgets/pages/frontier_budget.h"
#include "widgets/pages/recipe_truth.h"
#include "widgets/pages/section.h"
#include "widgets/plots/truth_plot.h"
#include "widgets/support/format_text.h"
#include "widgets/workbench/workbench.h"

#include <QHBoxLayout>
#include <QLabel>
#include <QPushButton>
#include <QVBoxLayout>

namespace {

constexpr std::size_t recipesToTry = 32;
constexpr int tokensOffered = 4096;

TruthData::Point pointOf(const RecipeTruth::Measured& measured, TruthData::Kind kind)
{
    return {.label = measured.label,
        .kind = kind,
        .predicted = measured.predicted.error,
        .measured = measured.measured.value,
        .standardError = measured.measured.standardError,
        .bytes = static_cast<double>(measured.predicted.bytes),
        .bitsPerWeight = measured.predicted.bitsPerWeight};
}

TruthData dataOf(const RecipeTruth::Truth& truth, bool isCurrent)
{
    TruthData data;
    for (std::size_t i = 0; i < truth.tried.size(); ++i) {
        const auto& tried = truth.tried[i];
        data.points.push_back({.label = TruthPanel::tr("Recipe %1 of the search").arg(i + 1),
            .kind = TruthData::Kind::Tried,
            .predicted = tried.predicted.error,
            .measured = tried.measured.value,
            .standardError = tried.measured.standardError,
            .bytes = static_cast<double>(tried.predicted.bytes),
            .bitsPerWeight = tried.predicted.bitsPerWeight});
    }
    if (truth.uniform)
        data.points.push_back(pointOf(*truth.uniform, TruthData::Kind::Uniform));
    if (truth.best)
        data.points.push_back(pointOf(*truth.best, TruthData::Kind::Best));
    data.points.push_back(pointOf(truth.current, TruthData::Kind::Current));
    if (!isCurrent)
        data.points.back().label = TruthPanel::tr("Recipe as measured");
    return data;
}

QString plusMinus(const quantloupe::MeasuredError& error)
{
    return format::plusMinus(error.value, error.standardError);
}

/// What stands in the plot's place where nothing of what was measured can be drawn.
QString emptyTextOf(const RecipeTruth::Truth* truth)
{
    if (truth == nullptr)
        return TruthPanel::tr("Measure the recipe on a text to see whether its prediction holds");
    return truth->predictsDivergence
        ? TruthPanel::tr("Nothing is predicted of these recipes: layers are not measured under their schemes")
        : TruthPanel::tr("The metric in use predicts no KL: rank the layers by text first");
}

/// The sentence on the recipe itself.
QString measuredText(const RecipeTruth::Truth& truth)
{
    const auto& current = truth.current;
    const auto measured = plusMinus(current.measured);
    const auto file = truth.text.toHtmlEscaped();
    if (current.predicted.error > 0.0)  // and not NaN
        return TruthPanel::tr("<b>Measured:</b> KL %1 nats per token on %2, %3 × the predicted %4.")
            .arg(measured, file, format::number(current.measured.value / current.predicted.error, 3),
                format::number(current.predicted.error, 3));
    const auto text = TruthPanel::tr("<b>Measured:</b> KL %1 nats per token on %2.").arg(measured, file);
    return truth.predictsDivergence
        ? text
        : text + u' ' + TruthPanel::tr("Rank the layers by text, and there is a prediction to hold against it.");
}

}  // namespace

TruthPanel::TruthPanel(Workbench* workbench, FrontierBudget* budget, QWidget* parent)
    : QWidget(parent)
    , m_workbench(workbench)
    , m_budget(budget)
    , m_truth(new RecipeTruth(workbench, budget, this))
    , m_plot(new TruthPlot)
    , m_summary(new QLabel)
    , m_measure(new QPushButton(tr("&Measure…")))
    , m_search(new QPushButton(tr("Search &better…")))
    , m_adopt(new QPushButton(tr("Adopt the bes&t")))
{
    m_measure->setObjectName(QStringLiteral("measure-truth"));
    m_search->setObjectName(QStringLiteral("search-truth"));
    m_adopt->setObjectName(QStringLiteral("adopt-truth"));
    m_summary->setObjectName(QStringLiteral("truth"));
    m_summary->setWordWrap(true);
    m_summary->setTextInteractionFlags(Qt::TextSelectableByMouse);
    m_measure->setToolTip(
        tr("Runs the model on a text, as stored and as the recipe makes it, and the best single scheme beside it"));
    m_search->setToolTip(tr("Runs up to %1 recipes of at most this size: layers swap sizes, and what each run shows "
                            "corrects the prediction for the next")
                             .arg(recipesToTry));
    m_adopt->setToolTip(tr("Makes the best recipe that was measured the current one"));
    auto* buttons = new QHBoxLayout;
    buttons->addWidget(m_measure);
    buttons->addWidget(m_search);
    buttons->addWidget(m_adopt);
    buttons->addStretch(1);
    auto* content = new QWidget;
    auto* column = new QVBoxLayout(content);
    column->setContentsMargins({});
    column->addWidget(m_plot, 1);
    column->addWidget(m_summary);
    column->addLayout(buttons);
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins({});
    layout->addWidget(new Section(m_plot->title(), m_plot->accessibleDescription(), content));
    connect(m_measure, &QPushButton::clicked, this, [this] { ask(false); });
    connect(m_search, &QPushButton::clicked, this, [this] { ask(true); });
    connect(m_adopt, &QPushButton::clicked, this, &TruthPanel::adopt);
    connect(m_truth, &RecipeTruth::changed, this, &TruthPanel::show);
    connect(workbench, &Workbench::recipeChanged, this, &TruthPanel::follow);
    connect(budget, &FrontierBudget::pictureChanged, this, &TruthPanel::enable);
    show();
}

void TruthPanel::ask(bool search)
{
    auto* dialog = new TextDialog(search ? tr("Search better recipes on text") : tr("Measure the recipe on text"),
        search ? tr("Measures up to %1 recipes of at most this size, and keeps the one whose predictions are nearest "
                    "to the original's. Weights alone are quantized.")
                     .arg(recipesToTry)
               : tr("Measures how far the recipe moves the model's predictions, to be held against what was predicted. "
                    "Weights alone are quantized."),
        m_workbench->offeredText(), tokensOffered, this);
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    connect(dialog, &QDialog::accepted, this,
        [this, dialog, search] { m_truth->measure(dialog->file(), dialog->tokens(), search ? recipesToTry : 0); });
    dialog->open();
}

void TruthPanel::adopt()
{
    const auto truth = m_truth->truth();
    if (truth && truth->bestRecipe)
        m_workbench->setRecipe(*truth->bestRecipe, tr("Adopt the best measured recipe"));
}

bool TruthPanel::isCurrent() const
{
    const auto truth = m_truth->truth();
    return truth && truth->recipe == m_workbench->recipe();
}

void TruthPanel::follow()
{
    enable();
    // Drawn anew, and zoomed out, only where there is something else to say.
    if (m_truth->truth() && m_shownAsCurrent != isCurrent())
        show();
}

void TruthPanel::enable()
{
    const bool ready = m_workbench->model() != nullptr && !m_truth->isMeasuring();
    const auto truth = m_truth->truth();
    m_measure->setEnabled(ready);
    m_search->setEnabled(ready && m_budget->isReady());
    m_adopt->setEnabled(ready && truth && truth->bestRecipe && truth->bestRecipe != m_workbench->recipe());
}

void TruthPanel::show()
{
    enable();
    const auto truth = m_truth->truth();
    m_shownAsCurrent = isCurrent();
    m_plot->setEmptyText(emptyTextOf(truth.get()));
    if (!truth) {
        m_plot->setData({});
        m_summary->setText(m_truth->isMeasuring() ? tr("Measuring…") : QString());
        return;
    }
    m_plot->setData(dataOf(*truth, m_shownAsCurrent));
    auto text = measuredText(*truth);
    if (!m_shownAsCurrent)
        text.prepend(tr("The recipe has changed since. "));
    if (truth->uniform)
        text += u' '
            + tr("The best single scheme of that size, %1, has %2.")
                  .arg(truth->uniform->label, plusMinus(truth->uniform->measured));
    if (truth->best)
        text += u' '
            + (truth->bestRecipe ? tr("The best of %1 recipes has %2.")
                                 : tr("None of %1 other recipes is better: the best has %2."))
                  .arg(QString::number(truth->tried.size()), plusMinus(truth->best->measured));
    m_summary->setText(text);
}
