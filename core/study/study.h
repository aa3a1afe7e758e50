// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/model/catalog.h"
#include "core/recipes/recipe.h"
#include "core/study/measurement.h"

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace quantloupe {

/// An immutable view of what is known now. Readers keep theirs while the writer goes on.
struct StudySnapshot {
    ModelCatalog model;   ///< what the study belongs to
    std::unordered_map<std::string, WeightStatistics> weights;                                 ///< by tensor name
    std::unordered_map<std::string, std::map<std::string, SchemeMeasurement>> measurements;    ///< tensor → scheme text
    std::optional<Recipe> recipe;  ///< the recipe last edited in the window

    const SchemeMeasurement* find(const std::string& tensor, const std::string& scheme) const;
    /// Every scheme that at least one tensor was measured under, ordered by total stored bytes, smallest first.
    std::vector<std::string> schemes() const;
};
using StudyPointer = std::shared_ptr<const StudySnapshot>;

/// The study file: HDF5 that is only ever replaced as a whole, and beside it `<file>.journal`, append-only and
/// checksummed, which makes each finished tensor durable at once. The journal is folded in at open and at close.
/// One writer (an advisory lock on the journal); schema: README.md, "The study file".
///
/// Errors: Conflict (another model's fingerprint, or open elsewhere), Malformed, CannotOpen, CannotWrite.
class Study
{
public:
    /// Opens or creates `path` for `model`, folding in a journal that an interrupted run left behind.
    static Result<std::unique_ptr<Study>> open(const std::filesystem::path& path, const Model& model);
    /// Reads a study without its model and without a lock; a journal beside it is read, not folded.
    static Result<StudyPointer> read(const std::filesystem::path& path);

    Study(const Study&) = delete;
    Study& operator=(const Study&) = delete;
    ~Study();  ///< folds in like close(), ignoring failure (the journal stays)

    /// Durable (fsync) when it returns. Replaces an older measurement of the same tensor and scheme.
    Result<void> append(const TensorMeasurement& measurement);
    Result<void> setRecipe(const Recipe& recipe);
    /// What is known now. Cheap: shared with earlier snapshots until the next append.
    StudyPointer snapshot() const;
    /// Folds the journal into the HDF5 file, atomically, and empties it.
    Result<void> save();
    /// save() and release the lock.
    Result<void> close();
    const std::filesystem::path& path() const;

private:
    struct State;
    explicit Study(std::unique_ptr<State> state);
    std::unique_ptr<State> m_state;
};

}  // namespace quantloupe
