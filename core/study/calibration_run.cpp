// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/study/calibration_run.h"

#include "core/base/atomic_file.h"
#include "core/base/hash.h"
#include "core/calibration/input_file.h"

#include <algorithm>
#include <system_error>
#include <utility>

namespace quantloupe {
namespace {

constexpr std::string_view kSuffix = ".input";

/// A name of its own for every state of an input, so that the one that the study names stays until it names the next.
std::string fileNameOf(const std::string& key, std::uint64_t texts)
{
    FingerprintHasher hasher;
    hasher.add(std::string_view(key));
    return hasher.hex() + "-" + std::to_string(texts) + std::string(kSuffix);
}

Result<std::filesystem::path> makeFolder(const std::filesystem::path& folder)
{
    std::error_code problem;
    std::filesystem::create_directories(folder, problem);
    if (problem)
        return failure(ErrorCode::CannotWrite, folder.string(), problem.message());
    return folder;
}

}  // namespace

std::filesystem::path inputFolderOf(const std::filesystem::path& study)
{
    std::error_code problem;
    auto folder = std::filesystem::weakly_canonical(study, problem);
    if (problem)
        folder = study;
    folder += ".inputs";
    return folder;
}

CalibrationRun::CalibrationRun(Study& study, std::filesystem::path folder)
    : m_study(&study)
    , m_folder(std::move(folder))
{
}

Result<CalibrationRun> CalibrationRun::begin(Study& study, CalibrationText text, bool fresh)
{
    auto folder = makeFolder(inputFolderOf(study.path()));
    if (!folder)
        return tl::unexpected(folder.error());
    CalibrationRun run(study, std::move(*folder));
    if (fresh)
        if (auto forgotten = study.setCalibrationTexts({}); !forgotten)
            return tl::unexpected(forgotten.error());
    const auto calibration = study.snapshot()->calibration;
    run.m_firstNumber = calibration.tokens();
    run.m_texts = calibration.texts;
    run.removeUnnamedFiles();

    // A run that had not finished a single input has left nothing that another one could spoil.
    if (!run.m_texts.empty() && !run.m_texts.back().complete && run.known().empty())
        run.m_texts.pop_back();
    const auto known = std::find_if(run.m_texts.begin(), run.m_texts.end(),
        [&](const CalibrationText& other) { return other.identity == text.identity; });
    const bool unfinished = !run.m_texts.empty() && !run.m_texts.back().complete;
    if (known != run.m_texts.end() && known->complete) {
        run.m_kind = Kind::AlreadyThere;
        return run;
    }
    if (unfinished && known == run.m_texts.end())
        return failure(ErrorCode::Conflict, study.path().string(),
            "the calibration on '" + run.m_texts.back().name
                + "' was not finished: run it again with that text, or begin anew with --fresh");
    if (!run.m_texts.empty() && run.m_texts.front().moments != text.moments)
        return failure(ErrorCode::Conflict, study.path().string(),
            std::string("was calibrated ") + (text.moments ? "without" : "with")
                + " second moments: do the same now, or begin anew with --fresh");
    run.m_kind = unfinished ? Kind::Continued : run.m_texts.empty() ? Kind::First : Kind::Added;
    if (!unfinished) {
        text.complete = false;
        run.m_texts.push_back(std::move(text));
        if (auto noted = study.setCalibrationTexts(run.m_texts); !noted)
            return tl::unexpected(noted.error());
    }
    return run;
}

std::set<std::string> CalibrationRun::known() const
{
    std::set<std::string> keys;
    for (const auto& figures : m_study->snapshot()->calibration.inputs())
        if (figures->texts >= m_texts.size())
            keys.insert(figures->key());
    return keys;
}

std::string CalibrationRun::streamIdentity() const
{
    FingerprintHasher hasher;
    hasher.add(std::string_view(m_study->snapshot()->model.fingerprint));
    hasher.add(std::string_view(m_texts.back().identity));
    return hasher.hex();
}

Result<InputFigures> CalibrationRun::keep(GatheredInput gathered, std::size_t sampleTokens, const std::stop_token& stop)
{
    auto& [figures, moments, sample] = gathered;
    const auto snapshot = m_study->snapshot();
    const auto& first = figures.layers.front().layer;
    const auto* before = snapshot->calibration.find(first.tensor, first.expert);
    std::string replaced;
    if (before) {
        auto merged = *before;
        if (!addFigures(merged, figures))
            return failure(ErrorCode::Conflict, figures.key(),
                "has other inputs now than when the study was calibrated: begin anew with --fresh");
        figures = std::move(merged);
        replaced = before->file.name;
    }
    if (!replaced.empty()) {
        const auto file = InputFile::open(m_folder, before->file, stop);
        if (!file)
            return tl::unexpected(file.error());
        if (file->columns() != figures.columns())
            return failure(ErrorCode::Conflict, figures.key(), "its file is of another width");
        moments.add(file->moments(), stop);
        TokenSample both(figures.columns(), sampleTokens);
        for (std::size_t i = 0; i < file->sampleNumbers().size(); ++i)
            both.offer(file->sampleNumbers()[i], file->sample().data() + i * figures.columns());
        both.offerAll(sample);
        both.settle();
        sample = std::move(both);
    }
    figures.texts = m_texts.size();
    figures.file = {};
    if (!moments.values().empty() || !sample.numbers().empty()) {
        auto written = writeInputFile(
            m_folder, fileNameOf(figures.key(), figures.texts), figures.inputs.tokens, moments, sample, stop);
        if (!written)
            return tl::unexpected(written.error());
        figures.file = std::move(*written);
    }
    if (auto kept = m_study->append(figures); !kept)
        return tl::unexpected(kept.error());
    std::error_code ignored;
    if (!replaced.empty() && replaced != figures.file.name)
        std::filesystem::remove(m_folder / replaced, ignored);
    return std::move(figures);
}

Result<void> CalibrationRun::finish()
{
    m_texts.back().complete = true;
    if (auto noted = m_study->setCalibrationTexts(m_texts); !noted)
        return noted;
    std::error_code ignored;
    std::filesystem::remove(streamFile(), ignored);
    return {};
}

void CalibrationRun::removeUnnamedFiles() const
{
    std::set<std::string> named;
    for (const auto& figures : m_study->snapshot()->calibration.inputs())
        named.insert(figures->file.name);
    removeFiles(m_folder, [&](const std::string& name) {
        const bool temporary = name.find(".tmp-") != std::string::npos;
        return temporary || (name.ends_with(kSuffix) && !named.contains(name))
            || (name == "stream" && (m_texts.empty() || m_texts.back().complete));
    });
}

}  // namespace quantloupe
