// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/calibration/model_calibration.h"
#include "core/model/catalog.h"
#include "core/recipes/recipe.h"
#include "core/study/measured_recipe.h"
#include "core/study/measurement.h"

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace quantloupe {

/// The measurements of one tensor by canonical scheme text.
using SchemeMeasurements = std::map<std::string, std::shared_ptr<const SchemeMeasurement>>;

/// Recipes that were measured whole, each on a text, the latest last.
using MeasuredRecipes = std::vector<std::shared_ptr<const MeasuredRecipe>>;

/// An immutable view of what is known now. Readers keep theirs while the writer goes on; what two snapshots have in
/// common they share, so that taking one costs as much as there are tensors, not as there are measurements.
struct StudySnapshot {
    ModelCatalog model;                                                                ///< what the study belongs to
    std::unordered_map<std::string, std::shared_ptr<const WeightStatistics>> weights;  ///< by tensor name
    std::unordered_map<std::string, std::shared_ptr<const SchemeMeasurements>> measurements;  ///< by tensor name
    std::optional<Recipe> recipe;  ///< the recipe last edited in the window
    ModelCalibration calibration;  ///< what running the model on texts taught
    MeasuredRecipes measuredRecipes {};

    /// What is known of a tensor's weights; null when they were not measured.
    const WeightStatistics* findWeights(const std::string& tensor) const;
    /// What a scheme does to a tensor, by the scheme's canonical text; null when it was not measured.
    const SchemeMeasurement* find(const std::string& tensor, const std::string& scheme) const;
    /// All measurements of a tensor; empty when there are none.
    const SchemeMeasurements& of(const std::string& tensor) const;
    /// Every scheme that at least one tensor was measured under, ordered by bits per weight, smallest first.
    std::vector<std::string> schemes() const;

    /// Adds a measurement, replacing an older one of the same tensor and scheme, whose divergence stays where the codes
    /// are the same.
    void add(const TensorMeasurement& measurement);
    /// The same of a recipe on a text.
    void add(const MeasuredRecipe& measured);
};
using StudyPointer = std::shared_ptr<const StudySnapshot>;

/// The study file: HDF5 that is only ever replaced as a whole, and beside it `<file>.journal`, append-only and
/// checksummed, which makes each finished tensor durable at once. The journal is folded in at open and at close.
/// One writer (an advisory lock on the journal); schema: README.md, "The study file". All members may be called from
/// any thread.
///
/// Errors: Conflict (another model's fingerprint, or open elsewhere), Malformed, CannotOpen, CannotWrite.
class Study
{
public:
    /// Opens or creates `path` for `model`, folding in a journal that an interrupted run left behind.
    static Result<std::unique_ptr<Study>> open(const std::filesystem::path& path, const Model& model);
    static Result<std::unique_ptr<Study>> open(const std::filesystem::path& path, ModelCatalog model);
    /// Reads a study without its model and without a lock; a journal beside it is read, not folded.
    static Result<StudyPointer> read(const std::filesystem::path& path);

    Study(const Study&) = delete;
    Study& operator=(const Study&) = delete;
    ~Study();  ///< folds in like close(), ignoring failure (the journal stays)

    /// Durable (fsync) when it returns. Replaces an older measurement of the same tensor and scheme.
    Result<void> append(const TensorMeasurement& measurement);
    Result<void> setRecipe(const Recipe& recipe);
    /// Durable when it returns. Replaces what was measured of the same recipe on the same text.
    Result<void> append(const MeasuredRecipe& measured);
    /// Durable when it returns. Replaces earlier figures of the same inputs.
    Result<void> append(const InputFigures& figures);
    /// Durable when it returns. Replaces earlier figures of the same layer.
    Result<void> append(const GradientFigures& figures);
    /// The texts that calibration ran on. Without any, what calibration taught is forgotten.
    Result<void> setCalibrationTexts(const std::vector<CalibrationText>& texts);
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
