// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/pages/qat_page.h"

#include "core/checkpoints/checkpoint_target.h"
#include "core/inference/decoder.h"
#include "core/tokenizers/tokenizer.h"
#include "widgets/pages/elided_label.h"
#include "widgets/pages/qat_controls.h"
#include "widgets/pages/qat_figures.h"
#include "widgets/pages/qat_layers.h"
#include "widgets/pages/section.h"
#include "widgets/plots/level_histogram_plot.h"
#include "widgets/plots/step_size_plot.h"
#include "widgets/support/format_text.h"
#include "widgets/workbench/quantized_training.h"
#include "widgets/workbench/workbench.h"

#include <QFileDialog>
#include <QFileInfo>
#include <QLabel>
#include <QMenu>
#include <QMessageBox>
#include <QProgressBar>
#include <QPushButton>
#include <QStackedWidget>
#include <QTabWidget>
#include <QTableWidget>
#include <QVBoxLayout>

#include <algorithm>

using State = QuantizedTraining::State;

namespace {

constexpr QLatin1String trainableView("qat/trainable");

/// Why a model cannot be trained on text; empty when it can.
quantloupe::Result<QString> findOutWhyNot(const quantloupe::Model& model)
{
    if (const auto decoder = quantloupe::describeDecoder(model); !decoder)
        return QString::fromStdString(quantloupe::describe(decoder.error()));
    if (const auto tokenizer = quantloupe::openTokenizer(model); !tokenizer)
        return QString::fromStdString(quantloupe::describe(tokenizer.error()));
    return QString();
}

}  // namespace

QatPage::QatPage(Workbench* workbench, QWidget* parent)
    : QWidget(parent)
    , m_workbench(workbench)
    , m_training(new QuantizedTraining(workbench, this))
    , m_controls(new QatControls(workbench))
    , m_layers(new QatLayers(workbench))
    , m_stack(new QStackedWidget)
    , m_results(new QStackedWidget)
    , m_reason(qobject_cast<QLabel*>(emptyState({})))
    , m_status(new QLabel)
    , m_progress(new QProgressBar)
    , m_start(new QPushButton)
    , m_stop(new QPushButton(tr("Sto&p")))
    , m_save(new QPushButton(tr("Save trained chec&kpoint")))
    , m_discard(new QPushButton(tr("&Discard…")))
    , m_compare(new QPushButton(tr("Add the rec&ipe")))
    , m_saveMenu(new QMenu(this))
    , m_loss(new LossPlot)
    , m_perplexity(new PerplexityPlot)
    , m_figures(makeTrainingFigures())
    , m_steps(new StepSizePlot)
    , m_levels(new LevelHistogramPlot)
    , m_views(new QTabWidget)
    , m_watched(new ElidedLabel)
    , m_distance(new QLabel)
{
    m_reason->setObjectName(QStringLiteral("qat-reason"));
    m_stack->addWidget(m_reason);
    m_stack->addWidget(makeContent());
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins({});
    layout->addWidget(m_stack);
    connectAll();
    findOut();
    showState();
    showSnapshot();
}

void QatPage::connectAll()
{
    connect(m_controls, &QatControls::changed, this, &QatPage::showState);
    connect(m_start, &QPushButton::clicked, this, &QatPage::start);
    connect(m_stop, &QPushButton::clicked, m_training, &QuantizedTraining::stop);
    connect(m_compare, &QPushButton::clicked, m_training, &QuantizedTraining::compareRecipe);
    connect(m_discard, &QPushButton::clicked, this, &QatPage::askToDiscard);
    connect(m_training, &QuantizedTraining::stateChanged, this, &QatPage::showState);
    connect(m_training, &QuantizedTraining::changed, this, &QatPage::showSnapshot);
    connect(
        m_training, &QuantizedTraining::written, this, [this](const QString& path, quint64 bytes, quint64 verified) {
            m_savedSteps = stepsDone();
            m_said = tr("Wrote %1, %2; %3 tensors read again, bit for bit as trained.")
                         .arg(QFileInfo(path).fileName(), format::bytes(bytes), format::integer(verified));
            showState();
        });
    for (Plot* plot : {static_cast<Plot*>(m_steps), static_cast<Plot*>(m_levels)})
        connect(plot, &Plot::tensorDoubleClicked, m_workbench, &Workbench::openLayer);
    connect(m_workbench, &Workbench::modelChanged, this, &QatPage::findOut);
    connect(m_workbench, &Workbench::selectionChanged, this, &QatPage::followSelection);
}

void QatPage::findOut()
{
    const auto model = m_workbench->model();
    const auto say = [this](const QString& text) {
        m_reason->setText(text);
        m_stack->setCurrentIndex(text.isEmpty() ? 1 : 0);
    };
    if (!model) {
        m_workbench->jobs()->cancel(trainableView);
        say(m_workbench->hasModel() ? tr("The study is open without its model: open the model to train it")
                                    : tr("Open a model to train it with quantization in its forward pass"));
        return;
    }
    say(tr("Looking whether the model can be trained…"));
    m_workbench->jobs()->compute<QString>(
        this, {.title = tr("Whether the model can be trained"), .view = trainableView, .listed = false},
        [model](std::stop_token, quantloupe::Progress&) { return findOutWhyNot(*model); },
        [this, say](const quantloupe::Result<QString>& whyNot) {
            if (m_workbench->model() == nullptr)
                return;  // closed since
            const auto reason = whyNot ? *whyNot : QString::fromStdString(quantloupe::describe(whyNot.error()));
            say(reason.isEmpty() ? QString() : tr("This model cannot be trained on text: %1").arg(reason));
        });
}

std::size_t QatPage::stepsDone() const
{
    const auto snapshot = m_training->snapshot();
    if (!snapshot)
        return 0;
    return snapshot->layers ? snapshot->layers->trained.size() : snapshot->history.steps.size();
}

bool QatPage::holdsUnsavedTraining() const
{
    return m_training->state() != State::None && stepsDone() > m_savedSteps;
}

void QatPage::start()
{
    if (m_training->state() == State::Stopped) {
        m_said.clear();
        m_training->goOn();
        return;
    }
    if (m_training->state() != State::None)
        return;
    if (auto request = m_controls->request()) {
        m_said.clear();
        m_savedSteps = 0;
        followSelection();
        m_training->start(std::move(*request));
    }
}

void QatPage::askToDiscard()
{
    auto* box = new QMessageBox(QMessageBox::Question, tr("Discard the training"),
        tr("What was trained is in no file but those that you saved. Discard it?"),
        QMessageBox::Discard | QMessageBox::Cancel, this);
    box->setAttribute(Qt::WA_DeleteOnClose);
    box->setDefaultButton(QMessageBox::Cancel);
    connect(box, &QMessageBox::finished, this, [this](int answer) {
        if (answer == QMessageBox::Discard) {
            m_said.clear();
            m_training->discard();
        }
    });
    box->open();
}

void QatPage::fillSaveMenu()
{
    m_saveMenu->clear();
    for (const auto& [target, refusal] : m_training->targets()) {
        const auto name = QString::fromUtf8(target->name.data(), qsizetype(target->name.size()));
        auto* action = m_saveMenu->addAction(
            QString::fromUtf8(target->title.data(), qsizetype(target->title.size())) + QStringLiteral("…"), this,
            [this, name] { save(name); });
        action->setObjectName(name);
        action->setEnabled(!refusal);
        action->setToolTip(refusal
                ? QString::fromStdString(quantloupe::describe(*refusal))
                : QString::fromUtf8(target->description.data(), qsizetype(target->description.size())));
    }
}

void QatPage::save(const QString& name)
{
    const auto* target = quantloupe::findCheckpointTarget(name.toStdString());
    if (!target)
        return;
    const auto suffix = QString::fromUtf8(target->suffix.data(), qsizetype(target->suffix.size()));
    const auto offered = QFileInfo(m_workbench->modelPath())
                             .absoluteDir()
                             .filePath(QFileInfo(Workbench::displayName(m_workbench->modelPath())).completeBaseName()
                                 + QStringLiteral("-trained") + suffix);
    const auto path = QFileDialog::getSaveFileName(this, tr("Save the trained checkpoint"), offered,
        suffix.isEmpty() ? tr("Folder to be made (*)") : tr("Checkpoint (*%1)").arg(suffix));
    if (!path.isEmpty())
        m_training->write(*target, path);
}

void QatPage::followSelection()
{
    const auto current = m_workbench->currentTensor();
    const auto snapshot = m_training->snapshot();
    if (!snapshot) {
        m_training->watch(current);
        return;
    }
    const auto& trained = snapshot->trained;
    const auto isTrained = std::find(trained.begin(), trained.end(), current.toStdString()) != trained.end();
    if (isTrained)
        m_training->watch(current);
    else if (snapshot->watched.empty() && !trained.empty())
        m_training->watch(QString::fromStdString(trained.front()));
}

void QatPage::showState()
{
    const auto state = m_training->state();
    const bool rests = state == State::Stopped || state == State::Done;
    m_controls->setOpen(state == State::None);
    m_start->setText(state == State::Stopped ? tr("&Continue") : tr("&Start"));
    m_start->setEnabled(state == State::Stopped || (state == State::None && m_controls->problem().isEmpty()));
    m_start->setToolTip(state == State::Stopped ? tr("Goes on where the training was stopped")
            : state == State::None && !m_controls->problem().isEmpty()
            ? m_controls->problem()
            : tr("Trains with quantization in the forward pass, in a job"));
    m_stop->setEnabled(state == State::Running || state == State::Busy);
    m_discard->setEnabled(rests);
    m_compare->setEnabled(rests);
    const auto* request = m_training->request();
    const bool layers = request ? request->layers.has_value() : m_controls->mode() == QatControls::Mode::Layers;
    m_results->setCurrentIndex(layers ? 1 : 0);
    m_stop->setToolTip(layers
            ? tr("Stops at once; Continue begins the layer at hand anew, and what is trained stays")
            : tr("Stops behind the step at hand; Continue goes on with the same numbers as without a stop"));
    m_layers->setContent(m_training->snapshot(), request, state == State::Running);
    fillSaveMenu();
    m_save->setEnabled(rests && !m_training->targets().empty());
    showProgress();
}

void QatPage::showProgress()
{
    const auto state = m_training->state();
    const auto snapshot = m_training->snapshot();
    const auto* request = m_training->request();
    m_progress->setVisible(state == State::Running);
    if (!request) {
        const auto problem = m_controls->problem();
        m_status->setText(problem);
        return;
    }
    const auto total = request->options.steps;
    const auto done = snapshot ? snapshot->history.steps.size() : 0;
    const double share = request->layers
        ? m_training->fraction()
        : static_cast<double>(done) / static_cast<double>(std::max<std::uint64_t>(1, total));
    m_progress->setRange(0, snapshot && share >= 0.0 ? 1000 : 0);
    m_progress->setValue(static_cast<int>(1000.0 * share));
    if (!snapshot) {
        m_status->setText(tr("Preparing: the text is read and the grids are fitted…"));
        return;
    }
    auto text =
        snapshot->layers ? layersProgress() : tr("Step %1 of %2").arg(format::integer(done), format::integer(total));
    text += tr(", %1 windows trained on, %2 held out")
                .arg(format::integer(snapshot->windows), format::integer(snapshot->heldOutWindows));
    if (const auto left = m_training->secondsLeft(); left && state == State::Running)
        text += u' ' + tr("· %1 left").arg(format::duration(*left));
    text += u'.';
    if (state == State::Busy)
        text += u' ' + tr("Working…");
    else if (!m_said.isEmpty())
        text += u' ' + m_said;
    else if (state == State::Done || state == State::Stopped)
        text += u' ' + afterwards();
    m_status->setText(text);
}

QString QatPage::layersProgress() const
{
    const auto& layers = *m_training->snapshot()->layers;
    const auto all = format::integer(layers.planned.size());
    if (m_training->state() != State::Running || layers.isDone())
        return tr("%1 of %2 layers trained").arg(format::integer(layers.trained.size()), all);
    const auto which = tr("Layer %1 of %2").arg(format::integer(layers.trained.size() + 1), all);
    if (layers.trained.empty() && layers.steps.empty())
        return which + tr(": its inputs are gathered");
    return layers.steps.empty() ? which : which + tr(", step %1").arg(format::integer(layers.steps.back().step + 1));
}

/// What can be done with what was trained.
QString QatPage::afterwards() const
{
    const auto& layers = m_training->snapshot()->layers;
    if (!layers)
        return tr("A recipe cannot hold trained weights: save the checkpoint to keep them.");
    if (layers->trained.empty())
        return {};
    return layers->isDone() ? tr("Save the checkpoint to keep these codes.")
                            : tr("A checkpoint keeps these codes; other layers stay in it as stored.");
}

void QatPage::showSnapshot()
{
    const auto snapshot = m_training->snapshot();
    const auto* request = m_training->request();
    m_layers->setContent(snapshot, request, m_training->state() == State::Running);
    showTrainingFigures(m_figures, snapshot.get());
    if (!snapshot || !request || snapshot->layers) {
        m_loss->setData({});
        m_perplexity->setData({});
        m_steps->setData({});
        m_levels->setData({});
        m_watched->setText(tr("A layer's weights and scales while it is trained"));
        m_distance->clear();
        showProgress();
        return;
    }
    followSelection();
    m_loss->setData(lossCurves(*snapshot, request->options));
    m_perplexity->setData(perplexityCurves(*snapshot, request->options));
    const auto tensor = QString::fromStdString(snapshot->watched);
    m_steps->setData({.tensor = tensor, .spreads = snapshot->spreads, .steps = request->options.steps});
    if (snapshot->beginning && snapshot->now)
        m_levels->setData({.tensor = tensor, .beginning = *snapshot->beginning, .now = *snapshot->now});
    else
        m_levels->setData({});
    const auto noScales = tr("Formats without scales of their own show no step sizes");
    const bool known = tensor.isEmpty() || !snapshot->spreads.empty();
    m_steps->setEmptyText(known ? tr("Select a layer that is trained") : noScales);
    m_levels->setEmptyText(known ? tr("Select a layer that is trained") : noScales);
    m_watched->setText(tensor);
    m_distance->setText(snapshot->beginning && snapshot->now
            ? tr("%1 scales from levels, %2 before")
                  .arg(format::number(snapshot->now->distance, 3), format::number(snapshot->beginning->distance, 3))
            : QString());
    showProgress();
}
