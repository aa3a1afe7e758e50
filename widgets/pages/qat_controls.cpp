// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/pages/qat_controls.h"

#include "widgets/dialogs/text_dialog.h"
#include "widgets/docks/scheme_editor.h"
#include "widgets/pages/elided_label.h"
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
using quantloupe::TrainedQuantizer;

namespace {

constexpr StepRule stepRules[] {StepRule::Estimated, StepRule::Scale, StepRule::Affine};

QString ruleTitle(StepRule rule)
{
    switch (rule) {
    case StepRule::Estimated: return QatControls::tr("STE: scales from the weights");
    case StepRule::Scale: return QatControls::tr("LSQ: learned scales");
    case StepRule::Affine: return QatControls::tr("Affine: learned scales and minima");
    }
    return {};
}

QString ruleExplanation(StepRule rule)
{
    switch (rule) {
    case StepRule::Estimated:
        return QatControls::tr("Scales are found anew from the weights in each step, gradients pass straight through "
                               "rounding (straight-through estimator). Any scheme.");
    case StepRule::Scale:
        return QatControls::tr("Learned step size quantization: a scale per group is trained beside the weights. "
                               "Symmetric integers.");
    case StepRule::Affine:
        return QatControls::tr("A scale and a minimum per group are trained beside the weights. Integers with a "
                               "floating minimum (asymf).");
    }
    return {};
}

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

/// Schemes of a plan with a row length each: what a rule must go with.
std::set<std::pair<std::string, std::size_t>> schemesOf(
    const quantloupe::Plan& plan, const quantloupe::ModelCatalog& catalog)
{
    std::set<std::pair<std::string, std::size_t>> schemes;
    for (const auto& planned : plan.tensors)
        if (const auto& shape = catalog.tensors[planned.tensor].shape; planned.scheme && !shape.empty())
            schemes.emplace(planned.scheme->toString(), static_cast<std::size_t>(shape.back()));
    return schemes;
}

/// Why a rule does not go with one of the schemes; empty where it does.
QString refusalOf(StepRule rule, const std::set<std::pair<std::string, std::size_t>>& schemes)
{
    for (const auto& [text, columns] : schemes) {
        const auto scheme = quantloupe::Scheme::parse(text);
        if (!scheme)
            continue;
        if (const auto made = TrainedQuantizer::create(*scheme, rule, 1, columns); !made)
            return QString::fromStdString(quantloupe::describe(made.error()));
    }
    return {};
}

}  // namespace

QatControls::QatControls(Workbench* workbench, QWidget* parent)
    : QWidget(parent)
    , m_workbench(workbench)
    , m_what(new QComboBox)
    , m_rule(new QComboBox)
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
{
    layOut();
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
    const auto schemes = schemesOf(quantloupe::resolve(recipe(), catalog), catalog);
    auto* items = qobject_cast<QStandardItemModel*>(m_rule->model());
    QStringList refusals;
    m_refusal = schemes.empty() ? tr("Nothing would be trained: select layers that can be quantized") : QString();
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

QString QatControls::problem() const
{
    if (!m_refusal.isEmpty())
        return m_refusal;
    return m_file.isEmpty() ? tr("Choose a text to train on") : QString();
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
    m_what->setObjectName(QStringLiteral("train-what"));
    m_what->addItem(tr("Whole model"), static_cast<int>(What::Model));
    m_what->addItem(tr("Selected layers"), static_cast<int>(What::Selection));
    m_what->addItem(tr("As the recipe"), static_cast<int>(What::Recipe));
    m_what->setSizeAdjustPolicy(QComboBox::AdjustToContents);
    m_what->setToolTip(
        tr("Which matrices of blocks are quantized in the forward pass and trained, end to end, with the "
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
}

QHBoxLayout* QatControls::firstRow()
{
    auto* row = new QHBoxLayout;
    addField(row, tr("Trai&n"), m_what);
    addField(row, tr("Sche&me"), m_scheme);
    if (auto* format = m_scheme->findChild<QComboBox*>())
        m_scheme->setFocusProxy(format);
    row->addStretch(1);
    return row;
}

QHBoxLayout* QatControls::secondRow()
{
    setUpSpin(m_steps, QStringLiteral("train-steps"), 1, 10'000'000, 400, tr("Updates of the weights."));
    m_steps->setStepType(QAbstractSpinBox::AdaptiveDecimalStepType);
    setUpSpin(m_batch, QStringLiteral("train-batch"), 1, 4096, 8,
        tr("Windows of text that each step goes by. More make steps steadier, slower and larger in memory."));
    m_rate->setObjectName(QStringLiteral("train-rate"));
    m_rate->setDecimals(6);
    m_rate->setRange(1e-6, 1.0);
    m_rate->setStepType(QAbstractSpinBox::AdaptiveDecimalStepType);
    m_rate->setValue(1e-3);
    m_rate->setToolTip(
        tr("Highest learning rate: reached after 20 steps, then down to 0 along a cosine. For 4 bits and "
           "small models about 0.0003 to 0.001, for 2 bits about 0.003."));
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
