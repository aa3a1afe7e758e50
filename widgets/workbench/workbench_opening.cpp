// SPDX-License-Identifier: GPL-3.0-or-later
// How models and studies are opened, kept and closed.
#include "core/base/resources.h"
#include "core/file_formats/file_format.h"
#include "core/study/known_inputs.h"
#include "core/study/study_file.h"
#include "widgets/workbench/workbench_state.h"

#include <QCoreApplication>
#include <QFileInfo>
#include <QStandardPaths>

#include <utility>

using quantloupe::Progress;
using quantloupe::Result;
using namespace std::chrono_literals;

namespace {

Result<std::filesystem::path> resourceFolder()
{
    return quantloupe::resourceFolder(QCoreApplication::applicationFilePath().toStdString());
}

}  // namespace

Workbench::Workbench(QObject* parent)
    : QObject(parent)
    , m_state(std::make_unique<State>())
{
    m_state->jobs = new JobList(this);
    m_state->undo = new QUndoStack(this);
    m_state->undo->setUndoLimit(500);
    m_state->store = std::make_shared<StudyStore>(toPath(dataFolder() + QStringLiteral("/studies")));
    m_state->wishes.sweep = defaultSweep();
    if (const auto scheme = quantloupe::Scheme::parse("int4:g128"))
        m_state->initialScheme = *scheme;
    m_state->autosave.setSingleShot(true);
    m_state->autosave.setInterval(250ms);
    connect(&m_state->autosave, &QTimer::timeout, this, &Workbench::autosaveRecipe);
    m_state->measureRecipe.setSingleShot(true);
    m_state->measureRecipe.setInterval(400ms);
    connect(&m_state->measureRecipe, &QTimer::timeout, this, [this] {
        if (!m_state->analyzing || !m_state->sweepWanted)
            startAnalysis();
    });
    const auto resources = resourceFolder();
    if (auto devices = resources.and_then(
            [](const auto& folder) { return quantloupe::loadDevices(quantloupe::deviceFolder(folder)); }))
        m_state->devices = std::move(*devices);
    else
        m_state->jobs->addLog(tr("No device profiles: %1").arg(toText(devices.error())));
}

Workbench::~Workbench()
{
    delete std::exchange(m_state->jobs, nullptr);  // cancels and joins: nothing runs below this line
    if (!m_state->writer)
        return;
    // What cannot be written now stays in the journal and is folded in next time.
    if (m_state->autosave.isActive())
        m_state->kept->set(m_state->recipe);
    (void)m_state->kept->write(*m_state->writer);
    (void)m_state->store->close(m_state->writer);
}

QString Workbench::dataFolder()
{
    const auto set = qEnvironmentVariable("QUANTLOUPE_DATA");
    return set.isEmpty() ? QStandardPaths::writableLocation(QStandardPaths::AppDataLocation) : set;
}

QString Workbench::samplePath()
{
    const auto resources = resourceFolder();
    if (!resources)
        return {};
    const auto path = QString::fromStdString(quantloupe::sampleModel(*resources).string());
    return QFileInfo::exists(path) ? path : QString();
}

QString Workbench::offeredText() const
{
    if (!m_state->textFile.isEmpty() || !isSample())
        return m_state->textFile;
    const auto resources = resourceFolder();
    return resources ? QString::fromStdString(quantloupe::sampleText(*resources).string()) : QString();
}

void Workbench::noteText(const QString& textFile)
{
    m_state->textFile = textFile;
}

void Workbench::openSample()
{
    if (const auto path = samplePath(); !path.isEmpty())
        openModel(path);
    else
        reportFailure(tr("The sample is not installed"),
            resourceFolder() ? tr("The resource folder holds no sample.") : toText(resourceFolder().error()));
}

void Workbench::openModel(const QString& path)
{
    const auto absolute = QFileInfo(path).absoluteFilePath();
    const auto name = displayName(absolute);
    auto open = [store = m_state->store, file = toPath(absolute)](
                    const std::stop_token& stop, Progress&) -> Result<Opened> {
        Opened opened;
        if (quantloupe::isStudyFile(file)) {
            auto study = quantloupe::Study::read(file);
            if (!study)
                return tl::unexpected(study.error());
            opened.study = *study;
            opened.catalog = opened.study->model;
            return opened;
        }
        auto model = quantloupe::openModel(file, stop);
        if (!model)
            return tl::unexpected(model.error());
        auto study = store->open(**model);
        if (!study)
            return tl::unexpected(study.error());
        opened.model = *model;
        opened.catalog = quantloupe::catalogOf(**model);
        opened.writer = study->writer;
        opened.unclaimed = std::make_shared<UnclaimedStudy>(store, study->writer);
        opened.writer->publish();
        opened.study = opened.writer->published();
        opened.model = std::make_shared<const quantloupe::Model>(
            quantloupe::withKnownInputs(**model, opened.study, opened.writer->path()));
        opened.warning = study->warning;
        return opened;
    };
    m_state->jobs->compute<Opened>(this, {tr("Open %1").arg(name), jobviews::opening}, std::move(open),
        [this, absolute, name](Result<Opened> opened) {
            if (opened)
                adopt(std::move(*opened), absolute);
            else
                reportFailure(tr("Cannot open %1").arg(name), toText(opened.error()));
        });
    Q_EMIT opening(absolute);
}

void Workbench::adopt(Opened opened, const QString& path)
{
    release();
    auto& state = *m_state;
    state.path = path;
    state.model = std::move(opened.model);
    state.writer = std::move(opened.writer);
    if (opened.unclaimed)
        opened.unclaimed->claim();
    state.catalog = std::move(opened.catalog);
    state.study = std::move(opened.study);
    for (std::size_t i = 0; i < state.catalog.tensors.size(); ++i)
        state.index.emplace(state.catalog.tensors[i].name, i);
    state.recipe = state.study->recipe.value_or(quantloupe::Recipe::uniform(state.initialScheme, state.catalog));
    state.plan = quantloupe::resolve(state.recipe, state.catalog);
    state.sweepWanted = true;
    for (const auto& warning : state.catalog.warnings)
        state.jobs->addLog(QString::fromStdString(warning));
    if (!opened.warning.empty())
        state.jobs->addLog(
            tr("The study could not be used, a new one was begun: %1").arg(QString::fromStdString(opened.warning)));
    Q_EMIT modelChanged();
    Q_EMIT selectionChanged();
    Q_EMIT recipeChanged();
    Q_EMIT studyChanged();
    startAnalysis();
}

void Workbench::release()
{
    auto& state = *m_state;
    state.jobs->cancel(jobviews::analysis);
    state.jobs->cancel(jobviews::text);
    if (state.autosave.isActive())
        state.kept->set(state.recipe);
    state.autosave.stop();
    state.measureRecipe.stop();
    state.analyzing = false;
    if (state.writer) {
        auto* job = state.jobs->start({tr("Save study"), {}, false},
            [store = state.store, writer = state.writer, kept = state.kept](std::stop_token, Progress&) {
                const auto written = kept->write(*writer);
                const auto closed = store->close(writer);
                return written ? closed : written;
            });
        connect(job, &Job::failed, this,
            [this](const quantloupe::Error& error) { reportFailure(tr("The study was not saved"), toText(error)); });
    }
    state.kept = std::make_shared<KeptRecipe>();
    state.path.clear();
    state.model.reset();
    state.writer.reset();
    state.catalog = {};
    state.index.clear();
    state.study = std::make_shared<const quantloupe::StudySnapshot>();
    state.recipe = {};
    state.plan = {};
    state.selection.clear();
    state.wishes.single.clear();
    state.wishes.first.clear();
    state.unmeasurable.clear();
    state.undo->clear();
}

void Workbench::closeModel()
{
    m_state->jobs->cancel(jobviews::opening);
    release();
    Q_EMIT modelChanged();
    Q_EMIT selectionChanged();
    Q_EMIT recipeChanged();
    Q_EMIT studyChanged();
    Q_EMIT analysisChanged();
}

void Workbench::autosaveRecipe()
{
    m_state->autosave.stop();
    if (!m_state->writer)
        return;
    m_state->kept->set(m_state->recipe);
    auto* job = m_state->jobs->start({tr("Keep recipe"), jobviews::autosave, false},
        [writer = m_state->writer, kept = m_state->kept](std::stop_token, Progress&) { return kept->write(*writer); });
    connect(job, &Job::failed, this, [this](const quantloupe::Error& error) {
        reportFailure(tr("The recipe could not be kept in the study"), toText(error));
    });
}

void Workbench::saveStudyAs(const QString& path)
{
    if (!m_state->writer) {
        reportFailure(tr("There is no study to save"), tr("Open a model first."));
        return;
    }
    auto* job = m_state->jobs->start({tr("Save study as %1").arg(QFileInfo(path).fileName())},
        [writer = m_state->writer, file = toPath(path)](std::stop_token, Progress&) { return writer->saveAs(file); });
    connect(job, &Job::failed, this,
        [this](const quantloupe::Error& error) { reportFailure(tr("The study was not saved"), toText(error)); });
}
