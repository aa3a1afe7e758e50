// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/workbench/study_store.h"

#include "core/base/atomic_file.h"
#include "core/study/calibration_run.h"

#include <algorithm>
#include <system_error>
#include <utility>

using namespace std::chrono_literals;
using quantloupe::ErrorCode;
using quantloupe::failure;
using quantloupe::Result;

namespace {

Result<void> closedError(const std::filesystem::path& path)
{
    return failure(ErrorCode::Cancelled, path.string(), "the study was closed");
}

/// The large parts of a calibration lie beside the study.
Result<void> copyInputs(const std::filesystem::path& from, const std::filesystem::path& to)
{
    const auto folder = quantloupe::inputFolderOf(from);
    std::error_code error;
    if (!std::filesystem::exists(folder, error))
        return {};
    std::filesystem::copy(folder, quantloupe::inputFolderOf(to),
        std::filesystem::copy_options::recursive | std::filesystem::copy_options::overwrite_existing, error);
    if (error)
        return failure(ErrorCode::CannotWrite, quantloupe::inputFolderOf(to).string(), error.message());
    return {};
}

}  // namespace

StudyWriter::StudyWriter(std::unique_ptr<quantloupe::Study> study)
    : m_path(study->path())
    , m_study(std::move(study))
    , m_published(m_study->snapshot())
{
}

Result<void> StudyWriter::append(const quantloupe::TensorMeasurement& measurement)
{
    const std::lock_guard lock(m_mutex);
    return m_study ? m_study->append(measurement) : closedError(m_path);
}

Result<void> StudyWriter::setRecipe(const quantloupe::Recipe& recipe)
{
    const std::lock_guard lock(m_mutex);
    return m_study ? m_study->setRecipe(recipe) : closedError(m_path);
}

Result<void> StudyWriter::use(const std::function<Result<void>(quantloupe::Study&)>& work)
{
    const std::shared_lock use(m_use);
    quantloupe::Study* study = nullptr;
    {
        const std::lock_guard lock(m_mutex);
        study = m_study.get();
    }
    return study ? work(*study) : closedError(m_path);
}

Result<void> StudyWriter::saveAs(const std::filesystem::path& path)
{
    const std::lock_guard lock(m_mutex);
    if (!m_study)
        return closedError(m_path);
    if (const auto saved = m_study->save(); !saved)
        return saved;
    if (auto copied = copyInputs(m_path, path); !copied)
        return copied;
    return quantloupe::replaceFileAtomically(path, [this](const std::filesystem::path& temporary) -> Result<void> {
        std::error_code error;
        std::filesystem::copy_file(m_path, temporary, std::filesystem::copy_options::overwrite_existing, error);
        if (error)
            return failure(ErrorCode::CannotWrite, temporary.string(), error.message());
        return {};
    });
}

bool StudyWriter::publishIfDue()
{
    const std::lock_guard lock(m_mutex);
    if (!m_study || std::chrono::steady_clock::now() < m_nextPublication)
        return false;
    publishLocked();
    return true;
}

void StudyWriter::publish()
{
    const std::lock_guard lock(m_mutex);
    if (m_study)
        publishLocked();
}

void StudyWriter::publishLocked()
{
    const auto begin = std::chrono::steady_clock::now();
    auto snapshot = m_study->snapshot();
    const auto end = std::chrono::steady_clock::now();
    m_nextPublication = end + std::max<std::chrono::steady_clock::duration>(250ms, 10 * (end - begin));
    const std::lock_guard lock(m_publicationMutex);
    m_published = std::move(snapshot);
}

quantloupe::StudyPointer StudyWriter::published() const
{
    const std::lock_guard lock(m_publicationMutex);
    return m_published;
}

Result<void> StudyWriter::close()
{
    const std::unique_lock use(m_use);
    const std::lock_guard lock(m_mutex);
    if (!m_study)
        return {};
    return std::exchange(m_study, nullptr)->close();
}

StudyStore::StudyStore(std::filesystem::path folder)
    : m_folder(std::move(folder))
{
}

Result<StudyStore::Opened> StudyStore::open(const quantloupe::Model& model)
{
    const std::lock_guard lock(m_mutex);
    if (const auto found = m_entries.find(model.fingerprint); found != m_entries.end()) {
        ++found->second.users;
        return Opened {found->second.writer, {}};
    }
    std::error_code error;
    std::filesystem::create_directories(m_folder, error);
    if (error)
        return failure(ErrorCode::CannotWrite, m_folder.string(), error.message());

    std::string warning;
    for (int attempt = 1; attempt <= 9; ++attempt) {
        auto name = model.fingerprint;
        if (attempt > 1)
            name.append("-").append(std::to_string(attempt));
        name.append(".h5");
        auto study = quantloupe::Study::open(m_folder / name, model);
        if (study) {
            auto writer = std::make_shared<StudyWriter>(std::move(*study));
            m_entries[model.fingerprint] = {writer, 1};
            return Opened {std::move(writer), std::move(warning)};
        }
        if (warning.empty())
            warning = describe(study.error());
        if (study.error().code == ErrorCode::CannotWrite)
            return tl::unexpected<quantloupe::Error>(study.error());
    }
    return failure(ErrorCode::Conflict, m_folder.string(), "no study could be opened; the first said: " + warning);
}

Result<void> StudyStore::close(const std::shared_ptr<StudyWriter>& writer)
{
    const std::lock_guard lock(m_mutex);
    const auto found = std::find_if(
        m_entries.begin(), m_entries.end(), [&](const auto& entry) { return entry.second.writer == writer; });
    if (found == m_entries.end() || --found->second.users > 0)
        return {};
    m_entries.erase(found);
    return writer->close();
}
