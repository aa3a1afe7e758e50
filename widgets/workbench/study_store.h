// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/study/study.h"

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>

/// The open study, shared by the jobs that write to it. Every function may be called on any thread; all but published()
/// may wait for the disk, so the window's thread calls only that one.
class StudyWriter
{
public:
    explicit StudyWriter(std::unique_ptr<quantloupe::Study> study);

    /// Errors: as Study::append(); Cancelled after the study was closed.
    quantloupe::Result<void> append(const quantloupe::TensorMeasurement& measurement);
    quantloupe::Result<void> setRecipe(const quantloupe::Recipe& recipe);
    /// Long work that writes by itself; closing waits for its end.
    quantloupe::Result<void> use(const std::function<quantloupe::Result<void>(quantloupe::Study&)>& work);
    /// Folds in, then copies the file.
    quantloupe::Result<void> saveAs(const std::filesystem::path& path);

    /// Makes what is known now visible to published(), unless that happened in the last quarter of a second (longer
    /// where taking a snapshot takes long, so that it costs a tenth of the time at most). Whether it did.
    bool publishIfDue();
    void publish();
    quantloupe::StudyPointer published() const;

    const std::filesystem::path& path() const { return m_path; }

private:
    friend class StudyStore;
    quantloupe::Result<void> close();
    void publishLocked();

    const std::filesystem::path m_path;
    std::shared_mutex m_use;                     // shared while the study is used(), taken whole to close it
    std::mutex m_mutex;                          // held while the disk is written
    std::unique_ptr<quantloupe::Study> m_study;  // null once closed
    std::chrono::steady_clock::time_point m_nextPublication {};
    mutable std::mutex m_publicationMutex;  // held for a pointer copy only
    quantloupe::StudyPointer m_published;
};

/// The folder of autosaved studies, one per model fingerprint. Opening and closing exclude each other, so that closing
/// a model and opening it again at once meets no lock of its own.
class StudyStore
{
public:
    explicit StudyStore(std::filesystem::path folder);

    struct Opened {
        std::shared_ptr<StudyWriter> writer;
        std::string warning;  ///< why the usual file could not be used, empty when it was
    };
    /// The model's study, created if there is none. When it is open in another window, or damaged, a new one beside it
    /// is used and the warning says so; nothing is overwritten. Each success is to be paired with close().
    quantloupe::Result<Opened> open(const quantloupe::Model& model);
    quantloupe::Result<void> close(const std::shared_ptr<StudyWriter>& writer);

    const std::filesystem::path& folder() const { return m_folder; }

private:
    struct Entry {
        std::shared_ptr<StudyWriter> writer;
        int users = 0;
    };
    const std::filesystem::path m_folder;
    std::mutex m_mutex;
    std::map<std::string, Entry> m_entries;  // by fingerprint
};
