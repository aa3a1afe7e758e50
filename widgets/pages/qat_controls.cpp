// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/pages/qat_controls.h"

#include "widgets/dialogs/text_dialog.h"
#include "widgets/docks/scheme_editor.h"
#include "widgets/pages/elided_label.h"
#include "widgets/pages/qat_rules.h"
#include "widgets/workbench/workbench.h"

#include <QCheckBox>
#include <QComboBox>
#include <QDialogButtonBox>
#include <QDoubleSpinBox>
#include <QFileInfo>
#include <QHBoxLayout>
#include <QLabel>
#include <QLocale>
#include <QPushButton>
#include <QSignalBlocker>
#include <QSpinBox>
#include <QStandardItemModel>
#include <QVBoxLayout>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

using quantloupe::StepRule;

namespace {

void addField(QHBoxLayout* row, const QString& text, QWidget* field, int stretch = 0)
{
    auto* label = new QLabel(text);
    label->setBuddy(field);
    row->addWidget(label);
    row->addWidget(field, stretch);
    row->addSpacing(8);
}

void setUpSpin(QSpinBox* spin, const QString& name, int low, int high, int value, const QString& tip)
{
    spin->setObjectName(name);
    spin->setRange(low, high);
    spin->setValue(value);
    spin->setGroupSeparatorShown(true);
    spin->setToolTip(tip);
}

}  // namespace

QatControls::QatControls(Workbench* workbench, QWidget* parent)
    : QWidget(parent)
    , m_workbench(workbench)
    , m_mode(new QComboBox)
    , m_what(new QComboBox)
    , m_rule(new QComboBox)
    , m_start(new QComboBox)
    , m_scheme(new SchemeEditor)
    , m_steps(new QSpinBox)
    , m_batch(new QSpinBox)
    , m_heldOut(new QSpinBox)
    , m_memory(new QSpinBox)
    , m_rate(new QDoubleSpinBox)
    , m_distils(new QCheckBox(tr("Disti&l")))
    , m_text(new ElidedLabel)
    , m_choose(new QPushButton(tr("Choose te&xt…")))
    , m_hint(new QLabel)
    , m_startLabel(new QLabel(tr("Begin &as")))
    , m_others {.steps = 1'000, .batch = 256, .rate = 5e-4}
{
    layOut();
    connect(m_mode, &QComboBox::currentIndexChanged, this, &QatControls::followMode);
    connect(m_what, &QComboBox::currentIndexChanged, this, &QatControls::follow);
    connect(m_rule, &QComboBox::currentIndexChanged, this, &QatControls::checkRules);
    connect(m_scheme, &SchemeEditor::edited, this, &QatControls::follow);
    connect(m_choose, &QPushButton::clicked, this, &QatControls::chooseText);
    connect(workbench, &Workbench::modelChanged, this, &QatControls::reset);
    connect(workbench, &Workbench::recipeChanged, this, &QatControls::follow);
    connect(workbench, &Workbench::selectionChanged, this, &QatControls::follow);
    reset();
    checkRules();
}

void QatControls::reset()
{
    auto scheme = m_workbench->recipe().defaultPlan.weights;
    scheme.algorithms.clear();
    m_scheme->setScheme(scheme);
    follow();
}

QatControls::Mode QatControls::mode() const
{
    return static_cast<Mode>(m_mode->currentData().toInt());
}

/// Each mode keeps its own figures: a step of a layer is another thing than one of the model.
void QatControls::followMode()
{
    if (m_shown != mode()) {
        const Figures figures {m_steps->value(), m_batch->value(), m_rate->value()};
        m_steps->setValue(m_others.steps);
        m_batch->setValue(m_others.batch);
        m_rate->setValue(m_others.rate);
        m_others = figures;
        m_shown = mode();
    }
    const bool layers = mode() == Mode::Layers;
    m_distils->setVisible(!layers);
    m_start->setVisible(layers);
    m_startLabel->setVisible(layers);
    explainFigures();
    checkRules();
}

void QatControls::explainFigures()
{
    const bool layers = mode() == Mode::Layers;
    m_steps->setToolTip(layers ? tr("Updates of each layer's weights, at most: a layer ends early where 20 looks at "
                                    "held-out tokens found nothing better.")
                               : tr("Updates of the weights."));
    m_batch->setToolTip(layers
            ? tr("Tokens that each step goes by, unless the moments of all tokens cost no more.")
            : tr("Windows of text that each step goes by. More make steps steadier, slower and larger in memory."));
    m_rate->setToolTip(layers
            ? tr("Highest learning rate, as a share of the layer's mean step between levels: reached after 20 steps, "
                 "then down to 0 along a cosine.")
            : tr("Highest learning rate: reached after 20 steps, then down to 0 along a cosine. For 4 bits and "
                 "small models about 0.0003 to 0.001, for 2 bits about 0.003."));
}

QatControls::What QatControls::what() const
{
    return static_cast<What>(m_what->currentData().toInt());
}

StepRule QatControls::rule() const
{
    return static_cast<StepRule>(m_rule->currentData().toInt());
}

/// One scheme for everything that the present recipe quantizes, for the selected layers alone, or what it says itself.
quantloupe::Recipe QatControls::recipe() const
{
    const auto& catalog = m_workbench->catalog();
    const auto& present = m_workbench->recipe();
    if (what() == What::Recipe)
        return quantloupe::withoutAlgorithms(present);
    auto uniform = quantloupe::Recipe::uniform(m_scheme->scheme(), catalog);
    if (what() == What::Model)
        return uniform;
    const auto selected = m_workbench->selection();
    for (const auto& tensor : catalog.tensors)
        if (tensor.quantizable && !selected.contains(QString::fromStdString(tensor.name)))
            uniform.keep.push_back(tensor.name);
    return uniform;
}

void QatControls::showEvent(QShowEvent* event)
{
    QWidget::showEvent(event);
    if (m_stale)
        follow();
}

void QatControls::follow()
{
    // Recipes are edited while a slider moves: nobody pays for what is not looked at.
    m_stale = !isVisible();
    if (m_stale)
        return;
    const auto selected = m_workbench->selection().size();
    m_what->setItemText(static_cast<int>(What::Selection),
        selected == 1 ? tr("Selected layer") : tr("Selected layers (%1)").arg(selected));
    m_scheme->setEnabled(m_isOpen && what() != What::Recipe);
    checkRules();
}

void QatControls::checkRules()
{
    if (!m_workbench->model()) {
        m_refusal = tr("Open a model to train it");
        Q_EMIT changed();
        return;
    }
    const auto& catalog = m_workbench->catalog();
    const auto plan = quantloupe::resolve(recipe(), catalog);
    const auto schemes = schemesOf(plan, catalog);
    auto* items = qobject_cast<QStandardItemModel*>(m_rule->model());
    QStringList refusals;
    m_refusal =
        schemes.empty() ? tr("Nothing would be trained: select layers that can be quantized") : refusalOfMode(plan);
    for (int i = 0; i < m_rule->count(); ++i) {
        const auto each = static_cast<StepRule>(m_rule->itemData(i).toInt());
        const auto refusal = refusalOf(each, schemes);
        items->item(i)->setEnabled(refusal.isEmpty());
        items->item(i)->setToolTip(refusal.isEmpty() ? ruleExplanation(each) : refusal);
        if (refusal.isEmpty())
            continue;
        refusals << refusal;
        if (each == rule() && m_refusal.isEmpty())
            m_refusal = refusal;
    }
    m_rule->setToolTip(ruleExplanation(rule()));
    m_hint->setText(m_refusal.isEmpty() ? refusals.join(u'\n') : m_refusal);
    m_hint->setVisible(m_isOpen && !m_hint->text().isEmpty());
    Q_EMIT changed();
}

QString QatControls::refusalOfMode(const quantloupe::Plan& plan) const
{
    if (mode() == Mode::Layers && !quantloupe::requireFloatingInputs(plan))
        return tr("Single layers are trained on the original's inputs, and the recipe quantizes activations: train the "
                  "whole model");
    return {};
}

QString QatControls::problem() const
{
    if (!m_refusal.isEmpty())
        return m_refusal;
    if (!m_file.isEmpty())
        return {};
    return mode() == Mode::Layers ? tr("Choose a text to train on: it gives each layer its inputs")
                                  : tr("Choose a text to train on");
}

std::optional<TrainingRequest> QatControls::request() const
{
    if (!problem().isEmpty())
        return std::nullopt;
    TrainingRequest request {.model = m_workbench->model(),
        .recipe = recipe(),
        .text = std::filesystem::path(m_file.toStdU16String()),
        .tokens = m_tokens,
        .heldOut = static_cast<unsigned>(m_heldOut->value())};
    request.options.steps = static_cast<std::uint64_t>(m_steps->value());
    request.options.batch = static_cast<std::size_t>(m_batch->value());
    request.options.learningRate = m_rate->value();
    request.options.distils = m_distils->isChecked();
    request.options.rule = rule();
    // About twenty points on the curves, whatever the length.
    request.options.evaluateEvery = std::max<std::uint64_t>(1, request.options.steps / 20);
    request.options.memory = static_cast<std::uint64_t>(m_memory->value()) << 30U;
    if (mode() == Mode::Whole)
        return request;
    auto& layers = request.layers.emplace();
    layers.memory = request.options.memory;
    layers.layer.steps = request.options.steps;
    layers.layer.batch = request.options.batch;
    layers.layer.learningRate = request.options.learningRate;
    layers.layer.rule = request.options.rule;
    layers.layer.start = static_cast<quantloupe::LayerStart>(m_start->currentData().toInt());
    return request;
}

void QatControls::setOpen(bool open)
{
    for (auto* widget : findChildren<QWidget*>(Qt::FindDirectChildrenOnly))
        widget->setEnabled(open);
    m_scheme->setEnabled(open && what() != What::Recipe);
    m_isOpen = open;
    m_hint->setVisible(open && !m_hint->text().isEmpty());
}

void QatControls::chooseText()
{
    auto* dialog = new TextDialog(tr("Train on text"),
        tr("The model is trained on windows of a text. The last part of them is held out and judges what was learned."),
        m_file.isEmpty() ? m_workbench->offeredText() : m_file, static_cast<int>(m_tokens), this);
    if (const auto* buttons = dialog->findChild<QDialogButtonBox*>())
        buttons->button(QDialogButtonBox::Ok)->setText(tr("&Choose"));
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    connect(dialog, &QDialog::accepted, this, [this, dialog] {
        m_file = dialog->file();
        m_tokens = dialog->tokens();
        showText();
        Q_EMIT changed();
    });
    dialog->open();
}

void QatControls::showText()
{
    m_text->setText(m_file.isEmpty()
            ? tr("No text chosen")
            : tr("%1, at most %2 tokens").arg(QFileInfo(m_file).fileName(), QLocale().toString(qulonglong(m_tokens))));
}

void QatControls::layOut()
{
    m_mode->setObjectName(QStringLiteral("train-mode"));
    m_mode->addItem(tr("Whole model"), static_cast<int>(Mode::Whole));
    m_mode->setItemData(0, tr("End to end: all chosen layers at once, on the model's predictions"), Qt::ToolTipRole);
    m_mode->addItem(tr("Single layers"), static_cast<int>(Mode::Layers));
    m_mode->setItemData(1,
        tr("One layer after the other, each by itself, on what its outputs lose: which layers could training rescue?"),
        Qt::ToolTipRole);
    m_mode->setToolTip(tr("Whole model: end to end, on the model's predictions. Single layers: one after the other, "
                          "each by itself, on what its outputs lose, held against RTN and GPTQ."));
    m_start->setObjectName(QStringLiteral("train-start"));
    m_start->addItem(tr("Best of these"), static_cast<int>(quantloupe::LayerStart::Best));
    m_start->addItem(tr("RTN"), static_cast<int>(quantloupe::LayerStart::Nearest));
    m_start->addItem(tr("GPTQ"), static_cast<int>(quantloupe::LayerStart::Gptq));
    m_start->addItem(tr("Coordinate descent"), static_cast<int>(quantloupe::LayerStart::Descent));
    m_start->setToolTip(tr("What the weights begin as: round-to-nearest, GPTQ, coordinate descent behind GPTQ, or the "
                           "one whose outputs err least on held-out tokens."));
    m_startLabel->setBuddy(m_start);
    m_what->setObjectName(QStringLiteral("train-what"));
    m_what->addItem(tr("All layers"), static_cast<int>(What::Model));
    m_what->addItem(tr("Selected layers"), static_cast<int>(What::Selection));
    m_what->addItem(tr("As the recipe"), static_cast<int>(What::Recipe));
    m_what->setSizeAdjustPolicy(QComboBox::AdjustToContents);
    m_what->setToolTip(
        tr("Which matrices of blocks are quantized and trained, in the whole model with the "
           "norms: all under one scheme, those selected in the tree, or each as the recipe says, without its "
           "algorithms, which training takes the place of; where it quantizes activations, inputs of these layers are "
           "rounded too. Embedding and output head stay as stored."));
    m_rule->setObjectName(QStringLiteral("train-rule"));
    for (const auto rule : stepRules)
        m_rule->addItem(ruleTitle(rule), static_cast<int>(rule));
    m_hint->setObjectName(QStringLiteral("train-hint"));
    m_hint->setWordWrap(true);
    m_hint->setForegroundRole(QPalette::PlaceholderText);
    m_hint->setTextInteractionFlags(Qt::TextSelectableByMouse);
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins({});
    layout->addLayout(firstRow());
    layout->addLayout(secondRow());
    layout->addLayout(thirdRow());
    layout->addWidget(m_hint);
    showText();
    followMode();
}

QHBoxLayout* QatControls::firstRow()
{
    auto* row = new QHBoxLayout;
    addField(row, tr("Mod&e"), m_mode);
    addField(row, tr("Trai&n"), m_what);
    addField(row, tr("Sche&me"), m_scheme);
    if (auto* format = m_scheme->findChild<QComboBox*>())
        m_scheme->setFocusProxy(format);
    row->addStretch(1);
    return row;
}

QHBoxLayout* QatControls::secondRow()
{
    setUpSpin(m_steps, QStringLiteral("train-steps"), 1, 10'000'000, 400, {});
    m_steps->setStepType(QAbstractSpinBox::AdaptiveDecimalStepType);
    setUpSpin(m_batch, QStringLiteral("train-batch"), 1, 4096, 8, {});
    m_rate->setObjectName(QStringLiteral("train-rate"));
    m_rate->setDecimals(6);
    m_rate->setRange(1e-6, 1.0);
    m_rate->setStepType(QAbstractSpinBox::AdaptiveDecimalStepType);
    m_rate->setValue(1e-3);
    m_distils->setObjectName(QStringLiteral("train-distils"));
    m_distils->setChecked(true);
    m_distils->setToolTip(tr("The loss is the divergence from the original's predictions. Off: the surprise at the "
                             "text's own next token, which also learns the text."));
    auto* row = new QHBoxLayout;
    addField(row, tr("R&ule"), m_rule);
    addField(row, tr("Steps"), m_steps);
    addField(row, tr("Learnin&g rate"), m_rate);
    addField(row, tr("&Batch"), m_batch);
    row->addWidget(m_distils);
    row->addWidget(m_startLabel);
    row->addWidget(m_start);
    row->addStretch(1);
    return row;
}

QHBoxLayout* QatControls::thirdRow()
{
    m_text->setObjectName(QStringLiteral("train-text"));
    m_choose->setObjectName(QStringLiteral("choose-text"));
    m_choose->setToolTip(tr("Which text the model is trained on, and how much of it"));
    setUpSpin(m_heldOut, QStringLiteral("train-held-out"), 1, 90, 10,
        tr("So much of the text, from its end, is not trained on and judges what was learned."));
    m_heldOut->setSuffix(tr(" %"));
    setUpSpin(m_memory, QStringLiteral("train-memory"), 1, 4096, 4,
        tr("For all that is trained, 20 bytes per weight, and the activations of a pass. What needs more is refused "
           "before it begins."));
    m_memory->setSuffix(tr(" GiB"));
    auto* row = new QHBoxLayout;
    row->addWidget(m_choose);
    row->addWidget(m_text, 1);
    row->addSpacing(8);
    addField(row, tr("Held &out"), m_heldOut);
    addField(row, tr("Memor&y, at most"), m_memory);
    return row;
}
