// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/pages/recipe_truth.h"

#include "core/analysis/layer_divergence.h"
#include "core/analysis/plan_divergence.h"
#include "core/base/not_a_number.h"
#include "widgets/pages/frontier_budget.h"
#include "widgets/workbench/text_reading.h"
#include "widgets/workbench/workbench.h"

#include <QFileInfo>

#include <algorithm>
#include <cmath>

using quantloupe::MeasuredError;
using quantloupe::Recipe;
using quantloupe::Result;
using quantloupe::TradeOffPoint;

namespace {

constexpr QLatin1String truthView("trade-off/truth");
constexpr QLatin1String recallView("trade-off/recall");

/// All that the job needs, by value.
struct Question {
    quantloupe::ModelPointer model;
    quantloupe::StudyPointer study;
    std::shared_ptr<const quantloupe::TradeOffPicture> picture;
    Recipe recipe;                  ///< as it is
    std::vector<std::string> keep;  ///< what of it the user keeps
    std::filesystem::path file {};
    QString name {};
    std::size_t tokens = 0, evaluations = 0;
    unsigned threads = 0;
    Workbench::RecipeKeeper keeper {};

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

/// The recipe of the best single scheme of at most a size, with what the user keeps.
std::optional<Recipe> uniformWithin(const Question& question, std::uint64_t bytes)
{
    const auto* rival = rivalOf(*question.picture, bytes);
    if (rival == nullptr)
        return std::nullopt;
    auto uniform = Recipe::uniform(quantloupe::Scheme::parse(rival->label).value(), question.study->model);
    uniform.keep = question.keep;
    return uniform;
}

class Answer
{
public:
    Answer(const Question& question, quantloupe::PlanDivergence divergence, const quantloupe::WindowedText& text)
        : m_question(question)
        , m_text(quantloupe::fingerprintOf(text))
        , m_predictions(text.scored())
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
        const auto* rival = rivalOf(*m_question.picture, truth.current.predicted.bytes);
        if (rival == nullptr)
            return {};
        const auto found = measure(*uniformWithin(m_question, truth.current.predicted.bytes));
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
        const auto plan = quantloupe::resolve(recipe, m_question.study->model);
        const auto found = m_divergence.measure(plan);
        if (!found)
            return tl::unexpected(found.error());
        const auto kept = m_question.keeper.keep(
            {recipe, m_question.name.toStdString(), quantloupe::calibrationUsed(*m_question.model, plan),
                {found->divergence.mean, found->standardError, m_predictions, m_text}});
        if (!kept && kept.error().code != quantloupe::ErrorCode::Cancelled)
            truth.failure = kept.error();  // it is known all the same
        return MeasuredError {found->divergence.mean, found->standardError};
    }

    TradeOffPoint predicted(TradeOffPoint point) const
    {
        if (!m_question.predictsDivergence())
            point.error = quantloupe::notANumber;
        return point;
    }

    const Question& m_question;
    std::uint64_t m_text, m_predictions;  ///< fingerprint of the text, and how many are compared
    quantloupe::PlanDivergence m_divergence;
};

/// The truth as the study knows it: the recipe on the text it was measured on last, and what else was measured there.
class Recollection
{
public:
    Recollection(const Question& question, std::stop_token stop)
        : m_question(question)
        , m_stop(std::move(stop))
    {
    }

    /// Null where the recipe was not measured.
    RecipeTruth::TruthPointer truth() const
    {
        const auto& study = *m_question.study;
        const auto& all = study.measuredRecipes;
        const auto found = std::find_if(all.rbegin(), all.rend(),
            [&](const auto& measured) { return measured->recipe == m_question.recipe && holds(*measured); });
        if (found == all.rend())
            return nullptr;
        RecipeTruth::Truth truth;
        truth.text = QString::fromStdString((*found)->textName);
        truth.predictions = (*found)->divergence.predictions;
        truth.recipe = (*found)->recipe;
        truth.predictsDivergence = m_question.predictsDivergence();
        truth.current = placed(**found, RecipeTruth::tr("Current recipe"));
        addOthers(**found, truth);
        return std::make_shared<const RecipeTruth::Truth>(std::move(truth));
    }

private:
    void addOthers(const quantloupe::MeasuredRecipe& current, RecipeTruth::Truth& truth) const
    {
        const auto bytes = truth.current.predicted.bytes;
        const auto uniform = uniformWithin(m_question, bytes);
        const quantloupe::MeasuredRecipe* best = nullptr;
        for (const auto& measured : m_question.study->measuredRecipes) {
            if (m_stop.stop_requested())
                return;
            if (measured->divergence.text != current.divergence.text || !holds(*measured))
                continue;
            if (uniform && measured->recipe == *uniform) {
                truth.uniform = placed(*measured, QString::fromStdString(uniform->defaultPlan.weights.toString()));
                continue;
            }
            const auto other = placed(*measured, {});
            if (measured->recipe == current.recipe || other.predicted.bytes > bytes)
                continue;
            truth.tried.push_back(
                {{}, {other.predicted.bytes, other.predicted.bitsPerWeight, other.predicted.error}, other.measured});
            if (best == nullptr || measured->divergence.mean < best->divergence.mean)
                best = measured.get();
        }
        if (best == nullptr)
            return;
        truth.best = placed(*best, RecipeTruth::tr("Best of %1 tried").arg(truth.tried.size()));
        if (best->divergence.mean < current.divergence.mean)
            truth.bestRecipe = best->recipe;
    }

    RecipeTruth::Measured placed(const quantloupe::MeasuredRecipe& measured, const QString& label) const
    {
        auto place = quantloupe::placeOf(measured.recipe, *m_question.study, "recipe", m_question.picture->metric);
        if (!m_question.predictsDivergence())
            place.error = quantloupe::notANumber;
        return {label, std::move(place), {measured.divergence.mean, measured.divergence.standardError}};
    }

    /// Whether its algorithms would go by the same inputs today.
    bool holds(const quantloupe::MeasuredRecipe& measured) const
    {
        return !m_question.model
            || measured.calibration
            == quantloupe::calibrationUsed(
                *m_question.model, quantloupe::resolve(measured.recipe, m_question.study->model));
    }

    const Question& m_question;
    std::stop_token m_stop;
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
    Answer found(question, std::move(*divergence), reading->windows);
    if (auto done = found.measureRecipe(); !done)
        return tl::unexpected(done.error());
    question.keeper.publish();
    // Where more than the recipe cannot be measured, what was measured of it is still worth its minutes.
    auto more = found.measureRival();
    if (more)
        more = found.search();
    question.keeper.publish();
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
        m_workbench->jobs()->cancel(recallView);
        m_truth.reset();
        Q_EMIT changed();
    });
    connect(workbench, &Workbench::recipeChanged, this, &RecipeTruth::recall);
    connect(budget, &FrontierBudget::pictureChanged, this, &RecipeTruth::recall);
}

void RecipeTruth::recall()
{
    const auto& picture = m_budget->picture();
    const bool isThere = m_truth && m_truth->recipe == m_workbench->recipe()
        && m_truth->predictsDivergence == predictsKl(picture->metric);
    // Without a picture there is nothing to hold it against, and pictureChanged() comes.
    if (isThere || isMeasuring() || picture->uniform.empty() || m_workbench->study()->measuredRecipes.empty())
        return;
    const Question question {.model = m_workbench->model(),
        .study = m_workbench->study(),
        .picture = picture,
        .recipe = m_workbench->recipe(),
        .keep = m_budget->keep()};
    m_workbench->jobs()->compute<TruthPointer>(
        this, {tr("Recall what was measured"), recallView, false},
        [question](std::stop_token stop, quantloupe::Progress&) -> Result<TruthPointer> {
            return Recollection(question, std::move(stop)).truth();
        },
        [this](const Result<TruthPointer>& truth) {
            if (!truth || !*truth || (*truth)->recipe != m_workbench->recipe())
                return;
            m_truth = *truth;
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
    m_workbench->noteText(textFile);
    const Question question {m_workbench->model(), m_workbench->study(), m_budget->picture(), m_workbench->recipe(),
        m_budget->keep(), std::filesystem::path(textFile.toStdString()), QFileInfo(textFile).fileName(), tokens,
        evaluations, m_workbench->jobs()->threads(), m_workbench->recipeKeeper()};
    m_workbench->jobs()->cancel(recallView);
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
