// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/study/study.h"

#include "core/base/atomic_file.h"
#include "core/study/journal.h"
#include "core/study/record_codec.h"
#include "core/study/study_file.h"

#include <algorithm>
#include <mutex>
#include <system_error>
#include <utility>

namespace quantloupe {
namespace {

constexpr std::size_t kLongestFingerprint = 32;

std::filesystem::path journalOf(std::filesystem::path study)
{
    study += ".journal";
    return study;
}

Error otherModel(const std::filesystem::path& path, const std::string& theirs, const std::string& ours)
{
    return {ErrorCode::Conflict, path.string(), std::nullopt,
        "belongs to another model: it has fingerprint " + theirs + ", this model has " + ours};
}

bool knowsLayer(const ModelCatalog& model, const GradientFigures& figures)
{
    return model.find(figures.layer.tensor).has_value();
}

bool knowsLayers(const ModelCatalog& model, const InputFigures& figures)
{
    return std::all_of(figures.layers.begin(), figures.layers.end(),
        [&](const LayerOutputs& outputs) { return model.find(outputs.layer.tensor).has_value(); });
}

void setTexts(ModelCalibration& calibration, std::vector<CalibrationText> texts)
{
    if (texts.empty()) {
        calibration.layers.clear();
        calibration.gradients.clear();
    }
    calibration.texts = std::move(texts);
}

void setGradients(ModelCalibration& calibration, GradientFigures figures)
{
    const auto layer = figures.layer;
    calibration.gradients[layer] = std::make_shared<const GradientFigures>(std::move(figures));
}

/// Plays a journal's records over what the file holds. Doing it again changes nothing, so a kill between replacing the
/// file and emptying the journal does no harm.
void replay(const JournalContent& journal, StudySnapshot& study)
{
    for (const auto& record : journal.records) {
        if (record.type == JournalRecordType::Measurement) {
            const auto measurement = decodeMeasurement(record.payload);
            if (measurement && study.model.find(measurement->tensor))
                study.add(*measurement);
        } else if (record.type == JournalRecordType::CalibratedInput) {
            if (auto figures = decodeFigures(record.payload); figures && knowsLayers(study.model, *figures))
                study.calibration.set(std::make_shared<const InputFigures>(std::move(*figures)));
        } else if (record.type == JournalRecordType::LayerGradients) {
            if (auto figures = decodeGradients(record.payload); figures && knowsLayer(study.model, *figures))
                setGradients(study.calibration, std::move(*figures));
        } else if (record.type == JournalRecordType::MeasuredRecipe) {
            if (const auto measured = decodeMeasuredRecipe(record.payload))
                study.add(*measured);
        } else if (record.type == JournalRecordType::CalibrationTexts) {
            if (auto texts = decodeTexts(record.payload))
                setTexts(study.calibration, std::move(*texts));
        } else if (record.type == JournalRecordType::Recipe) {
            const std::string_view text(reinterpret_cast<const char*>(record.payload.data()), record.payload.size());
            if (auto recipe = Recipe::fromJson(text, "recipe"))
                study.recipe = std::move(*recipe);
        }
    }
}

/// Temporary files that a killed save left behind. @pre the journal's lock is held, so nobody is saving now
void removeLeftovers(const std::filesystem::path& study)
{
    const auto folder = study.parent_path().empty() ? std::filesystem::path(".") : study.parent_path();
    const auto prefix = study.filename().string() + ".tmp-";
    std::error_code ignored;
    std::vector<std::filesystem::path> leftovers;
    for (std::filesystem::directory_iterator entry(folder, ignored), end; !ignored && entry != end;
         entry.increment(ignored))
        if (entry->path().filename().string().starts_with(prefix))
            leftovers.push_back(entry->path());
    for (const auto& leftover : leftovers)
        std::filesystem::remove(leftover, ignored);
}

}  // namespace

struct Study::State {
    std::filesystem::path path;
    std::optional<Journal> journal;  ///< absent once closed
    bool unfolded = false;           ///< the journal holds what the file does not

    mutable std::mutex mutex;  ///< guards everything here
    StudySnapshot now;
    mutable StudyPointer published;  ///< copy of `now`; null when it has changed since

    Result<void> requireOpen() const
    {
        if (!journal)
            return failure(ErrorCode::Conflict, path.string(), "the study was closed");
        return {};
    }
    Result<void> save()
    {
        auto written = replaceFileAtomically(
            path, [this](const std::filesystem::path& temporary) { return writeStudyFile(temporary, now); });
        if (!written)
            return written;
        if (auto emptied = journal->reset(now.model.fingerprint); !emptied)
            return emptied;
        unfolded = false;
        return {};
    }
};

Study::Study(std::unique_ptr<State> state)
    : m_state(std::move(state))
{
}

Study::~Study()
{
    // Nobody is left to tell. Whatever cannot be folded now is in the journal and folded at the next open.
    if (m_state->journal)
        static_cast<void>(close());
}

Result<std::unique_ptr<Study>> Study::open(const std::filesystem::path& path, const Model& model)
{
    return open(path, catalogOf(model));
}

Result<std::unique_ptr<Study>> Study::open(const std::filesystem::path& path, ModelCatalog model)
{
    if (model.fingerprint.empty() || model.fingerprint.size() > kLongestFingerprint)
        return failure(ErrorCode::InvalidArgument, model.path, "the model has no fingerprint of up to 32 characters");
    std::error_code problem;
    auto state = std::make_unique<State>();
    // One study must have one journal, whatever link it is reached by.
    state->path = std::filesystem::weakly_canonical(path, problem);
    if (problem)
        return failure(ErrorCode::CannotWrite, path.string(), problem.message());

    const auto journalPath = journalOf(state->path);
    const bool journalExisted = std::filesystem::exists(journalPath, problem);
    JournalContent content;
    auto journal = Journal::open(journalPath, content);
    if (!journal)
        return tl::unexpected(journal.error());
    state->journal.emplace(std::move(*journal));
    const auto refuse = [&](Error error) -> Result<std::unique_ptr<Study>> {
        if (!journalExisted)
            static_cast<void>(state->journal->remove());
        state->journal.reset();
        return tl::unexpected(std::move(error));
    };

    if (!content.fingerprint.empty() && content.fingerprint != model.fingerprint)
        return refuse(otherModel(journalPath, content.fingerprint, model.fingerprint));
    const bool fileExists = std::filesystem::exists(state->path, problem);
    if (fileExists) {
        auto stored = readStudyFile(state->path);
        if (!stored)
            return refuse(std::move(stored.error()));
        if (stored->model.fingerprint != model.fingerprint)
            return refuse(otherModel(path, stored->model.fingerprint, model.fingerprint));
        state->now = std::move(*stored);
    }
    // The same model, perhaps moved or read by a newer version: today's description counts.
    state->now.model = std::move(model);
    replay(content, state->now);
    removeLeftovers(state->path);
    const bool nothingToFold = fileExists && content.records.empty();
    auto ready = nothingToFold ? state->journal->reset(state->now.model.fingerprint) : state->save();
    if (!ready)
        return refuse(std::move(ready.error()));
    return std::unique_ptr<Study>(new Study(std::move(state)));
}

Result<StudyPointer> Study::read(const std::filesystem::path& path)
{
    std::error_code problem;
    const auto actual = std::filesystem::weakly_canonical(path, problem);
    // The journal first: if a writer folds it in between, the file read afterwards already holds its records.
    auto journal = Journal::read(journalOf(problem ? path : actual));
    auto stored = readStudyFile(path);
    if (!stored)
        return tl::unexpected(stored.error());
    if (!journal)
        return tl::unexpected(journal.error());
    if (journal->fingerprint == stored->model.fingerprint)
        replay(*journal, *stored);
    return std::make_shared<const StudySnapshot>(std::move(*stored));
}

Result<void> Study::append(const TensorMeasurement& measurement)
{
    const std::scoped_lock lock(m_state->mutex);
    if (auto open = m_state->requireOpen(); !open)
        return open;
    if (!m_state->now.model.find(measurement.tensor))
        return failure(ErrorCode::InvalidArgument, measurement.tensor, "is not a tensor of the study's model");
    // Durable first, visible then: a reader never sees what a crash could take back.
    if (auto written = m_state->journal->append(JournalRecordType::Measurement, encodeMeasurement(measurement));
        !written)
        return written;
    m_state->unfolded = true;
    m_state->published.reset();
    m_state->now.add(measurement);
    return {};
}

Result<void> Study::setRecipe(const Recipe& recipe)
{
    const std::scoped_lock lock(m_state->mutex);
    if (auto open = m_state->requireOpen(); !open)
        return open;
    if (m_state->now.recipe == recipe)
        return {};
    const auto text = recipe.toJson();
    if (auto written = m_state->journal->append(JournalRecordType::Recipe, std::as_bytes(std::span(text))); !written)
        return written;
    m_state->unfolded = true;
    m_state->published.reset();
    m_state->now.recipe = recipe;
    return {};
}

Result<void> Study::append(const MeasuredRecipe& measured)
{
    const std::scoped_lock lock(m_state->mutex);
    if (auto open = m_state->requireOpen(); !open)
        return open;
    if (!measured.divergence.known())
        return failure(ErrorCode::InvalidArgument, "recipe", "was not measured");
    if (auto written = m_state->journal->append(JournalRecordType::MeasuredRecipe, encodeMeasuredRecipe(measured));
        !written)
        return written;
    m_state->unfolded = true;
    m_state->published.reset();
    m_state->now.add(measured);
    return {};
}

Result<void> Study::append(const InputFigures& figures)
{
    const std::scoped_lock lock(m_state->mutex);
    if (auto open = m_state->requireOpen(); !open)
        return open;
    if (!isWhole(figures) || !knowsLayers(m_state->now.model, figures))
        return failure(ErrorCode::InvalidArgument, figures.layers.empty() ? std::string("calibration") : figures.key(),
            "is not a layer of the study's model");
    if (auto written = m_state->journal->append(JournalRecordType::CalibratedInput, encodeFigures(figures)); !written)
        return written;
    m_state->unfolded = true;
    m_state->published.reset();
    m_state->now.calibration.set(std::make_shared<const InputFigures>(figures));
    return {};
}

Result<void> Study::append(const GradientFigures& figures)
{
    const std::scoped_lock lock(m_state->mutex);
    if (auto open = m_state->requireOpen(); !open)
        return open;
    if (!isWhole(figures) || !knowsLayer(m_state->now.model, figures))
        return failure(ErrorCode::InvalidArgument, figures.layer.text(), "is not a layer of the study's model");
    if (auto written = m_state->journal->append(JournalRecordType::LayerGradients, encodeGradients(figures)); !written)
        return written;
    m_state->unfolded = true;
    m_state->published.reset();
    setGradients(m_state->now.calibration, figures);
    return {};
}

Result<void> Study::setCalibrationTexts(const std::vector<CalibrationText>& texts)
{
    const std::scoped_lock lock(m_state->mutex);
    if (auto open = m_state->requireOpen(); !open)
        return open;
    if (auto written = m_state->journal->append(JournalRecordType::CalibrationTexts, encodeTexts(texts)); !written)
        return written;
    m_state->unfolded = true;
    m_state->published.reset();
    setTexts(m_state->now.calibration, texts);
    return {};
}

StudyPointer Study::snapshot() const
{
    const std::scoped_lock lock(m_state->mutex);
    if (!m_state->published)
        m_state->published = std::make_shared<const StudySnapshot>(m_state->now);
    return m_state->published;
}

Result<void> Study::save()
{
    const std::scoped_lock lock(m_state->mutex);
    if (auto open = m_state->requireOpen(); !open)
        return open;
    return m_state->unfolded ? m_state->save() : Result<void> {};
}

Result<void> Study::close()
{
    const std::scoped_lock lock(m_state->mutex);
    if (!m_state->journal)
        return {};
    Result<void> done;
    if (m_state->unfolded)
        done = m_state->save();
    if (done)
        done = m_state->journal->remove();
    m_state->journal.reset();
    return done;
}

const std::filesystem::path& Study::path() const
{
    return m_state->path;
}

}  // namespace quantloupe
