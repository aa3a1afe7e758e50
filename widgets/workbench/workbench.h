// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/analysis/analyze.h"
#include "core/analysis/smoothing.h"
#include "core/projection/device.h"
#include "core/recipes/plan.h"
#include "core/study/calibrate_gradients.h"
#include "core/study/study.h"
#include "widgets/workbench/job_list.h"
#include "widgets/workbench/text_runs.h"

#include <QMetaType>
#include <QObject>
#include <QStringList>
#include <QUndoStack>

#include <functional>
#include <memory>
#include <optional>
#include <vector>

/// The open document: model, study, recipe, selection and jobs. Pages and docks read it and listen to its signals; all
/// changes go through its methods. Lives on the window's thread; hands out immutable snapshots.
class Workbench : public QObject
{
    Q_OBJECT
public:
    explicit Workbench(QObject* parent = nullptr);
    ~Workbench() override;  ///< cancels the jobs and folds the study in

    bool hasModel() const;  ///< a model, or a study without its model, is open
    bool isOpening() const;
    quantloupe::Calibration calibration() const;      ///< whether schemes may go by what layers' inputs are
    quantloupe::ModelPointer model() const;           ///< null when only a study is open
    const quantloupe::ModelCatalog& catalog() const;  ///< empty without a model
    const quantloupe::CatalogTensor* tensor(const QString& name) const;  ///< null when the model has none of this name
    quantloupe::StudyPointer study() const;                              ///< never null
    const quantloupe::Recipe& recipe() const;
    const quantloupe::Plan& plan() const;  ///< recipe() resolved
    /// Profiles of the resource folder, ordered by id.
    const std::vector<quantloupe::DeviceProfile>& devices() const;
    /// Start live work of a page with jobs()->compute(this, {title, view, false}, work, deliver).
    JobList* jobs() const;
    QUndoStack* undoStack() const;

    /// Opens a checkpoint (file, shard index, folder) or a study (*.h5) in a job; modelChanged() or failed() follows,
    /// and what was open before stays until then. The study lies in the autosave folder and is found by fingerprint.
    void openModel(const QString& path);
    void openSample();
    void closeModel();
    QString modelPath() const;  ///< as it was given to openModel()
    bool isSample() const;
    /// What to call a model: the file's name, or its folder's where the file is called as in every other folder
    /// ("model.safetensors").
    static QString displayName(const QString& path);

    /// Where studies and session marks lie: $QUANTLOUPE_DATA, else the user's application data folder.
    static QString dataFolder();
    static QString samplePath();  ///< empty when the sample is not installed

    /// The selected tensors, the current one last. One selection for the whole window.
    QStringList selection() const;
    QString currentTensor() const;  ///< empty when nothing is selected
    void select(const QStringList& tensors);
    void openLayer(const QString& tensor);  ///< selects it and asks for the Layer page

    /// Schemes the whole model is swept with, shown as columns of the heat map.
    const std::vector<quantloupe::Scheme>& sweep() const;
    void setSweep(const std::vector<quantloupe::Scheme>& schemes);
    /// Measures what is not yet in the study, most interesting tensors first; a running sweep is replaced.
    void analyze();
    void analyze(const QStringList& tensors, const std::vector<quantloupe::Scheme>& schemes);
    bool isAnalyzing() const;
    void cancelAnalysis();

    /// Runs the model on no more than the first `tokens` of a text, in jobs of one view; failed() tells what went
    /// wrong. calibrate() keeps what goes into each layer, for algorithms and output errors; studyChanged() follows.
    /// With gradients it also takes those, and the KL of every scheme can be predicted. Nothing without a model.
    std::optional<CalibratingRun> calibrate(const QString& textFile, std::size_t tokens,
        const std::optional<quantloupe::GradientCalibration>& gradients = std::nullopt);
    /// Measures what quantizing each layer alone does to the predictions, under one scheme; calibrates first where that
    /// was not done.
    void rankLayers(const QString& textFile, std::size_t tokens);
    /// What to offer where a text is asked for: the one that was run last or, before any was, the sample's own where
    /// the sample is open. May be empty.
    QString offeredText() const;
    /// For runs that are not started here.
    void noteText(const QString& textFile);
    /// The recipe against the model as stored. `alpha`: of SmoothQuant where the recipe smooths; nullopt: searched
    /// behind each norm. Nothing without a model.
    std::optional<EvaluationRun> evaluateRecipe(
        const QString& textFile, std::size_t tokens, const std::optional<double>& alpha = quantloupe::usualSmoothing);

    /// For jobs, on any thread: keep() makes what was measured of a whole recipe durable in the study, publish() shows
    /// it; studyChanged() follows.
    struct RecipeKeeper {
        std::function<quantloupe::Result<void>(const quantloupe::MeasuredRecipe&)> keep;
        std::function<void()> publish;
    };
    RecipeKeeper recipeKeeper();

    /// The scheme a tensor has in the recipe; nullopt: kept as stored.
    std::optional<quantloupe::Scheme> schemeOf(const QString& tensor) const;
    /// The measurement of a tensor under its scheme of the recipe; null when it is kept or not measured yet. Valid as
    /// long as the study() it came from.
    const quantloupe::SchemeMeasurement* measurementOf(const QString& tensor) const;
    /// Undoable edits. `text` names the step in the undo history; steps with the same non-negative mergeId melt into
    /// one. A scheme that is not built yet is refused through failed().
    void setRecipe(const quantloupe::Recipe& recipe, const QString& text, int mergeId = -1);
    void setDefaultScheme(const quantloupe::Scheme& scheme);
    void setScheme(const QStringList& tensors, const std::optional<quantloupe::Scheme>& scheme);

    bool recipeUnsaved() const;  ///< edited since opened, loaded or saved
    /// Atomic. Empty error text on success.
    QString saveRecipe(const QString& path);
    QString loadRecipe(const QString& path);
    /// In a job; failed() tells when it could not be done.
    void saveStudyAs(const QString& path);

    /// The default scheme of models that have no recipe yet.
    void setInitialScheme(const quantloupe::Scheme& scheme);
    /// Shows a failure to the user: what happened, and where, why and what to do.
    void reportFailure(const QString& title, const QString& details);

Q_SIGNALS:
    void opening(const QString& path);
    void modelChanged();  ///< everything is new: model, study, recipe, selection
    void studyChanged();  ///< at most a few times a second while a sweep runs
    void recipeChanged();
    void selectionChanged();
    void sweepChanged();
    void analysisChanged();  ///< isAnalyzing() changed
    void layerRequested();   ///< show the Layer page
    void failed(const QString& title, const QString& details);

private:
    struct Opened;
    struct State;
    friend class RecipeCommand;

    void adopt(Opened opened, const QString& path);
    void release();  ///< lets go of model and study; signals nothing
    void applyRecipe(const quantloupe::Recipe& recipe);
    void autosaveRecipe();
    void startAnalysis();
    void takeSnapshot();
    void takeInputs();  ///< of a calibration that was finished

    std::unique_ptr<State> m_state;
};
