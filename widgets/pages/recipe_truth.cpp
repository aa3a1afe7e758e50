// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/pages/recipe_truth.h"

#include "core/analysis/plan_divergence.h"
#include "core/base/not_a_number.h"
#include "widgets/pages/frontier_budget.h"
#include "widgets/workbench/text_reading.h"
#include "widgets/workbench/workbench.h"

#include <QFileInfo>

#include <cmath>

using quantloupe::MeasuredError;
using quantloupe::Recipe;
using quantloupe::Result;
using quantloupe::TradeOffPoint;

namespace {

const QString truthView = QStringLiteral("trade-off/truth");

/// All that the job needs, by value.
struct Question {
    quantloupe::ModelPointer model;
    quantloupe::StudyPointer study;
    std::shared_ptr<const quantloupe::TradeOffPicture> picture;
    Recipe recipe;                  ///< as it is
    std::vector<std::string> keep;  ///< what of it the user keeps
    std::filesystem::path file;
    QString name;
    std::size_t tokens = 0, evaluations = 0;
    unsigned threads = 0;

    bool predictsDivergence() const { return predictsKl(picture->metric); }
};

/// The best single scheme of at most a size.
const TradeOffPoint* rivalOf(const quantloupe::TradeOffPicture& picture, std::uint64_t bytes)
{
    const TradeOffPoint* rival = nullptr;
    for (const auto& point : picture.uniform)
        if (point.bytes <= bytes && std::isfinite(point.error) && (rival == nullptr || point.error < rival->error))
            rival = &point;
    return rival;
}

class Answer
{
public:
    Answer(const Question& question, quantloupe::PlanDivergence divergence)
        : m_question(question)
        , m_divergence(std::move(divergence))
    {
    }

    Result<void> measureRecipe()
    {
        const auto& study = *m_question.study;
        const auto measured = measure(m_question.recipe);
        if (!measured)
            return tl::unexpected(measured.error());
        truth.recipe = m_question.recipe;
        truth.predictsDivergence = m_question.predictsDivergence();
        truth.current = {RecipeTruth::tr("Current recipe"),
            predicted(quantloupe::placeOf(m_question.recipe, study, "recipe", m_question.picture->metric)), *measured};
        return {};
    }

    Result<void> measureRival()
    {
        const auto& study = *m_question.study;
        const auto* rival = rivalOf(*m_question.picture, truth.current.predicted.bytes);
        if (rival == nullptr)
            return {};
        auto uniform = Recipe::uniform(quantloupe::Scheme::parse(rival->label).value(), study.model);
        uniform.keep = m_question.keep;
        const auto found = measure(uniform);
        if (!found)
            return tl::unexpected(found.error());
        truth.uniform = {QString::fromStdString(rival->label), predicted(*rival), *found};
        return {};
    }

    Result<void> search()
    {
        const auto& frontier = m_question.picture->frontier;
        const auto& study = *m_question.study;
        if (m_question.evaluations == 0 || frontier.points.size() < 2)
            return {};
        const quantloupe::AllocationLimit limit {.value = static_cast<double>(truth.current.predicted.bytes)};
        const auto allocation = quantloupe::allocateWithin(frontier, study, limit);
        if (!allocation)
            return tl::unexpected(allocation.error());
        auto base = m_question.recipe;
        base.keep = m_question.keep;
        const auto recipeOf = [&](const std::vector<std::uint32_t>& choice) {
            return quantloupe::recipeOf(frontier.groups, choice, study, base);
        };
        auto verified = quantloupe::verifyAllocation(frontier, study, limit, *allocation,
            {.evaluations = m_question.evaluations, .onlyWhereItMatters = false},
            [&](const std::vector<std::uint32_t>& choice) { return measure(recipeOf(choice)); });
        if (!verified)
            return tl::unexpected(verified.error());
        const auto& best = verified->tried[verified->best];
        truth.best = {RecipeTruth::tr("Best of %1 tried").arg(verified->tried.size()),
            predicted({"best", best.predicted.bytes, best.predicted.bitsPerWeight, best.predicted.error}),
            best.measured};
        if (best.measured.value < truth.current.measured.value)
            truth.bestRecipe = recipeOf(best.choice);
        truth.tried = std::move(verified->tried);
        for (auto& tried : truth.tried)
            if (!m_question.predictsDivergence())
                tried.predicted.error = quantloupe::notANumber;
        return {};
    }

    RecipeTruth::Truth truth {};

private:
    Result<MeasuredError> measure(const Recipe& recipe)
    {
        return m_divergence.measure(quantloupe::resolve(recipe, m_question.study->model))
            .map([](const quantloupe::VariantDivergence& found) {
                return MeasuredError {found.divergence.mean, found.standardError};
            });
    }

    TradeOffPoint predicted(TradeOffPoint point) const
    {
        if (!m_question.predictsDivergence())
            point.error = quantloupe::notANumber;
        return point;
    }

    const Question& m_question;
    quantloupe::PlanDivergence m_divergence;
};

Result<RecipeTruth::TruthPointer> answer(
    const Question& question, const std::stop_token& stop, quantloupe::Progress& progress)
{
    const auto reading = TextReading::of(*question.model, question.file, question.tokens);
    if (!reading)
        return tl::unexpected(reading.error());
    auto divergence = quantloupe::PlanDivergence::begin(
        reading->decoder, reading->windows, question.evaluations + 2, {.threads = question.threads}, stop, progress);
    if (!divergence)
        return tl::unexpected(divergence.error());
    Answer found(question, std::move(*divergence));
    if (auto done = found.measureRecipe(); !done)
        return tl::unexpected(done.error());
    // Where more than the recipe cannot be measured, what was measured of it is still worth its minutes.
    auto more = found.measureRival();
    if (more)
        more = found.search();
    if (!more && more.error().code == quantloupe::ErrorCode::Cancelled)
        return tl::unexpected(more.error());
    if (!more)
        found.truth.failure = more.error();
    found.truth.text = question.name;
    found.truth.predictions = reading->windows.scored();
    return std::make_shared<const RecipeTruth::Truth>(std::move(found.truth));
}

}  // namespace

RecipeTruth::RecipeTruth(Workbench* workbench, FrontierBudget* budget, QObject* parent)
    : QObject(parent)
    , m_workbench(workbench)
    , m_budget(budget)
{
    connect(workbench, &Workbench::modelChanged, this, [this] {
        m_workbench->jobs()->cancel(truthView);
        m_truth.reset();
        Q_EMIT changed();
    });
}

bool RecipeTruth::isMeasuring() const
{
    return m_workbench->jobs()->isActive(truthView);
}

void RecipeTruth::measure(const QString& textFile, std::size_t tokens, std::size_t evaluations)
{
    if (!m_workbench->model())
        return;
    m_textFile = textFile;
    const Question question {m_workbench->model(), m_workbench->study(), m_budget->picture(), m_workbench->recipe(),
        m_budget->keep(), std::filesystem::path(textFile.toStdString()), QFileInfo(textFile).fileName(), tokens,
        evaluations, m_workbench->jobs()->threads()};
    auto* job = m_workbench->jobs()->compute<TruthPointer>(
        this, {tr("Measure the recipe on %1").arg(question.name), truthView},
        [question](std::stop_token stop, quantloupe::Progress& progress) { return answer(question, stop, progress); },
        [this](const Result<TruthPointer>& truth) {
            if (!truth) {
                m_workbench->reportFailure(
                    tr("The recipe was not measured"), QString::fromStdString(describe(truth.error())));
                return;
            }
            m_truth = *truth;
            Q_EMIT changed();
            if (m_truth->failure)
                m_workbench->reportFailure(tr("The recipe was measured, but not all that was wanted beside it"),
                    QString::fromStdString(describe(*m_truth->failure)));
        });
    connect(job, &Job::ended, this, &RecipeTruth::changed);
    Q_EMIT changed();
}
