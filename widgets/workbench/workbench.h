// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/analysis/analyze.h"
#include "core/projection/device.h"
#include "core/recipes/plan.h"
#include "core/study/study.h"

#include <QObject>
#include <QStringList>
#include <QUndoStack>

#include <memory>
#include <optional>
#include <vector>

class JobList;

/// The open document: model, study, recipe, selection and jobs. Pages and docks read it and listen to its signals; all
/// changes go through its methods. Lives on the window's thread; hands out immutable snapshots.
class Workbench : public QObject
{
    Q_OBJECT
public:
    explicit Workbench(QObject* parent = nullptr);
    ~Workbench() override;

    bool hasModel() const;
    quantloupe::ModelPointer model() const;                   ///< null when only a study is open
    const quantloupe::ModelCatalog& catalog() const;          ///< empty without a model
    quantloupe::StudyPointer study() const;                   ///< never null
    const quantloupe::Recipe& recipe() const;
    const quantloupe::Plan& plan() const;                     ///< recipe() resolved
    const std::vector<quantloupe::DeviceProfile>& devices() const;
    JobList* jobs() const;
    QUndoStack* undoStack() const;

    /// Opens in a job; modelChanged() or failed() follows. The study lies beside the user's data (autosave folder) and is
    /// found again by fingerprint.
    void openModel(const QString& path);
    void openSample();
    void closeModel();

    /// The selected tensors, the current one last. One selection for the whole window.
    QStringList selection() const;
    QString currentTensor() const;                            ///< empty when nothing is selected
    void select(const QStringList& tensors);
    void openLayer(const QString& tensor);                    ///< selects it and asks for the Layer page

    /// Schemes the whole model is swept with, shown as columns of the heat map.
    const std::vector<quantloupe::Scheme>& sweep() const;
    void setSweep(std::vector<quantloupe::Scheme> schemes);
    /// Measures what is not yet in the study, most interesting tensors first; a running sweep is replaced.
    void analyze();
    void analyze(const QStringList& tensors, const std::vector<quantloupe::Scheme>& schemes);

    /// The scheme a tensor has in the recipe; nullopt: kept as stored.
    std::optional<quantloupe::Scheme> schemeOf(const QString& tensor) const;
    /// Undoable edits. `text` names the step in the undo history; steps with the same non-negative mergeId melt into one.
    void setRecipe(const quantloupe::Recipe& recipe, const QString& text, int mergeId = -1);
    void setDefaultScheme(const quantloupe::Scheme& scheme);
    void setScheme(const QStringList& tensors, const std::optional<quantloupe::Scheme>& scheme);

    bool recipeUnsaved() const;
    /// Atomic. Empty error text on success.
    QString saveRecipe(const QString& path);
    QString loadRecipe(const QString& path);
    QString saveStudyAs(const QString& path);

Q_SIGNALS:
    void modelChanged();
    void studyChanged();           ///< at most a few times a second while a sweep runs
    void recipeChanged();
    void selectionChanged();
    void sweepChanged();
    void layerRequested();         ///< show the Layer page
    void failed(const QString& title, const QString& details);

private:
    struct State;
    std::unique_ptr<State> m_state;
};
