// SPDX-License-Identifier: GPL-3.0-or-later
// The document's readable side, the selection and the edits of the recipe.
#include "widgets/workbench/workbench.h"

#include "core/base/atomic_file.h"
#include "core/recipes/edit.h"
#include "widgets/workbench/workbench_state.h"

#include <QDir>
#include <QFile>
#include <QFileInfo>

#include <algorithm>
#include <utility>

using quantloupe::Recipe;
using quantloupe::Scheme;

namespace {

/// The first scheme of a recipe that cannot be computed yet, as an error.
quantloupe::Result<void> requireBuilt(const Recipe& recipe, quantloupe::Calibration calibration)
{
    if (const auto built = quantloupe::requireBuilt(recipe.defaultPlan.weights, calibration); !built)
        return built;
    for (const auto& rule : recipe.rules)
        if (const auto built = quantloupe::requireBuilt(rule.plan.weights, calibration); !built)
            return built;
    return {};
}

}  // namespace

RecipeCommand::RecipeCommand(Workbench* workbench, Recipe after, const QString& text, int mergeId)
    : QUndoCommand(text)
    , m_workbench(workbench)
    , m_before(workbench->recipe())
    , m_after(std::move(after))
    , m_mergeId(mergeId)
{
}

bool RecipeCommand::mergeWith(const QUndoCommand* other)
{
    const auto* newer = static_cast<const RecipeCommand*>(other);
    if (newer->text() != text())
        return false;
    m_after = newer->m_after;
    return true;
}

void RecipeCommand::undo()
{
    m_workbench->applyRecipe(m_before);
}
void RecipeCommand::redo()
{
    m_workbench->applyRecipe(m_after);
}

bool Workbench::hasModel() const
{
    return !m_state->catalog.tensors.empty() || m_state->model;
}
quantloupe::Calibration Workbench::calibration() const
{
    return m_state->model ? quantloupe::calibrationOf(*m_state->model) : quantloupe::Calibration::Absent;
}

bool Workbench::isOpening() const
{
    return m_state->jobs->isActive(jobviews::opening);
}
quantloupe::ModelPointer Workbench::model() const
{
    return m_state->model;
}
const quantloupe::ModelCatalog& Workbench::catalog() const
{
    return m_state->catalog;
}
quantloupe::StudyPointer Workbench::study() const
{
    return m_state->study;
}
const Recipe& Workbench::recipe() const
{
    return m_state->recipe;
}
const quantloupe::Plan& Workbench::plan() const
{
    return m_state->plan;
}
const std::vector<quantloupe::DeviceProfile>& Workbench::devices() const
{
    return m_state->devices;
}
JobList* Workbench::jobs() const
{
    return m_state->jobs;
}
QUndoStack* Workbench::undoStack() const
{
    return m_state->undo;
}
QString Workbench::modelPath() const
{
    return m_state->path;
}
bool Workbench::isSample() const
{
    return hasModel() && !samplePath().isEmpty() && m_state->path == samplePath();
}
QStringList Workbench::selection() const
{
    return m_state->selection;
}
const std::vector<Scheme>& Workbench::sweep() const
{
    return m_state->wishes.sweep;
}
void Workbench::setInitialScheme(const Scheme& scheme)
{
    m_state->initialScheme = scheme;
}

QString Workbench::displayName(const QString& path)
{
    const QFileInfo file(path);
    const auto generic = file.fileName().startsWith(QLatin1String("model.safetensors"))
        || file.fileName().startsWith(QLatin1String("pytorch_model."));
    return generic ? file.absoluteDir().dirName() : file.fileName();
}

const quantloupe::CatalogTensor* Workbench::tensor(const QString& name) const
{
    const auto found = m_state->index.find(name.toStdString());
    return found == m_state->index.end() ? nullptr : &m_state->catalog.tensors[found->second];
}

QString Workbench::currentTensor() const
{
    return m_state->selection.isEmpty() ? QString() : m_state->selection.last();
}

void Workbench::select(const QStringList& tensors)
{
    QStringList known;
    std::copy_if(tensors.begin(), tensors.end(), std::back_inserter(known),
        [this](const QString& name) { return tensor(name) != nullptr; });
    if (known == m_state->selection)
        return;
    m_state->selection = known;
    Q_EMIT selectionChanged();
}

void Workbench::openLayer(const QString& name)
{
    if (!tensor(name))
        return;
    select({name});
    Q_EMIT layerRequested();
}

std::optional<Scheme> Workbench::schemeOf(const QString& name) const
{
    const auto found = m_state->index.find(name.toStdString());
    if (found == m_state->index.end() || found->second >= m_state->plan.tensors.size())
        return std::nullopt;
    return m_state->plan.tensors[found->second].scheme;
}

const quantloupe::SchemeMeasurement* Workbench::measurementOf(const QString& name) const
{
    const auto scheme = schemeOf(name);
    return scheme ? m_state->study->find(name.toStdString(), scheme->toString()) : nullptr;
}

void Workbench::setRecipe(const Recipe& recipe, const QString& text, int mergeId)
{
    if (!hasModel() || recipe == m_state->recipe)
        return;
    if (const auto built = requireBuilt(recipe, calibration()); !built) {
        reportFailure(tr("The recipe was not changed"), toText(built.error()));
        return;
    }
    m_state->undo->push(new RecipeCommand(this, recipe, text, mergeId));
}

void Workbench::setDefaultScheme(const Scheme& scheme)
{
    auto edited = m_state->recipe;
    edited.defaultPlan.weights = scheme;
    setRecipe(edited, tr("Default %1").arg(QString::fromStdString(scheme.toString())));
}

void Workbench::setScheme(const QStringList& tensors, const std::optional<Scheme>& scheme)
{
    std::vector<std::string> names;
    for (const auto& name : tensors)
        names.push_back(name.toStdString());
    const auto what = tensors.size() == 1 ? tensors.first() : tr("%1 tensors").arg(tensors.size());
    const auto text =
        scheme ? tr("%1 → %2").arg(what, QString::fromStdString(scheme->toString())) : tr("Keep %1").arg(what);
    setRecipe(quantloupe::setScheme(m_state->recipe, m_state->catalog, names, scheme), text);
}

void Workbench::applyRecipe(const Recipe& recipe)
{
    m_state->recipe = recipe;
    m_state->plan = quantloupe::resolve(recipe, m_state->catalog);
    m_state->autosave.start();
    m_state->measureRecipe.start();
    Q_EMIT recipeChanged();
}

bool Workbench::recipeUnsaved() const
{
    return hasModel() && !m_state->undo->isClean();
}

QString Workbench::saveRecipe(const QString& path)
{
    const auto written = quantloupe::writeFileAtomically(toPath(path), m_state->recipe.toJson());
    if (!written)
        return toText(written.error());
    m_state->undo->setClean();
    return {};
}

QString Workbench::loadRecipe(const QString& path)
{
    constexpr qint64 largestRecipe = 64 << 20;
    QFile file(path);
    if (!file.open(QIODevice::ReadOnly))
        return tr("%1: %2").arg(path, file.errorString());
    if (file.size() > largestRecipe)
        return tr("%1: too large for a recipe").arg(path);
    const auto text = file.readAll().toStdString();
    const auto recipe = Recipe::fromJson(text, path.toStdString());
    if (!recipe)
        return toText(recipe.error());
    if (const auto built = requireBuilt(*recipe, calibration()); !built)
        return toText(built.error());
    setRecipe(*recipe, tr("Load %1").arg(path.section(u'/', -1)));
    m_state->undo->setClean();
    return {};
}

void Workbench::reportFailure(const QString& title, const QString& details)
{
    m_state->jobs->addLog(details.isEmpty() ? title : tr("%1: %2").arg(title, details));
    Q_EMIT failed(title, details);
}
