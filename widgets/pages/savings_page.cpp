// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/pages/savings_page.h"

#include "widgets/plots/study_figures.h"
#include "widgets/support/format_text.h"
#include "widgets/theme/fonts.h"
#include "widgets/workbench/workbench.h"

#include <QComboBox>
#include <QCoreApplication>
#include <QHBoxLayout>
#include <QHeaderView>
#include <QLabel>
#include <QScrollArea>
#include <QSpinBox>
#include <QSplitter>
#include <QTabWidget>
#include <QTableWidget>
#include <QVBoxLayout>

#include <algorithm>
#include <array>
#include <utility>

using namespace quantloupe;

namespace {

QTableWidget* makeTable(const QStringList& header)
{
    auto* table = new QTableWidget(0, static_cast<int>(header.size()));
    table->setHorizontalHeaderLabels(header);
    table->setEditTriggers(QAbstractItemView::NoEditTriggers);
    table->setSelectionBehavior(QAbstractItemView::SelectRows);
    table->setShowGrid(false);
    table->setAlternatingRowColors(true);
    table->verticalHeader()->hide();
    table->verticalHeader()->setDefaultSectionSize(table->fontMetrics().height() + 6);
    table->horizontalHeader()->setHighlightSections(false);
    table->setFont(tabularFont(table->font()));
    return table;
}

QTableWidgetItem* cell(const QString& text, bool number)
{
    auto* item = new QTableWidgetItem(text);
    item->setTextAlignment((number ? Qt::AlignRight : Qt::AlignLeft) | Qt::AlignVCenter);
    item->setToolTip(text);
    return item;
}

void addRow(QTableWidget* table, const QStringList& texts, int firstNumber, int lastNumber)
{
    const int row = table->rowCount();
    table->insertRow(row);
    for (int column = 0; column < texts.size(); ++column)
        table->setItem(row, column, cell(texts[column], column >= firstNumber && column <= lastNumber));
}

/// In place of bits per cached value.
constexpr double asTheRecipeSays = -1.0;

/// Like the bars beside the table.
QString rate(double perSecond)
{
    return perSecond < 1e5 ? format::number(perSecond, 4) : format::si(perSecond, QString());
}

QString ratio(double recipe, double base)
{
    return base > 0.0 ? QCoreApplication::translate("SavingsPage", "%1×").arg(format::number(recipe / base, 3))
                      : format::none();
}

}  // namespace

SavingsPage::SavingsPage(Workbench* workbench, QWidget* parent)
    : QWidget(parent)
    , m_workbench(workbench)
    , m_device(new QComboBox)
    , m_keyValue(new QComboBox)
    , m_context(new QSpinBox)
    , m_batch(new QSpinBox)
    , m_verdict(new QLabel)
    , m_assumptions(new QLabel)
    , m_memory(new MemoryStackPlot)
    , m_latency(new LatencyPlot)
    , m_roofline(new RooflinePlot)
    , m_figures(makeTable({tr("Projected figure"), tr("As stored"), tr("Recipe"), tr("Ratio")}))
    , m_sources(makeTable({tr("Figure of the device"), tr("Value"), tr("Source")}))
{
    m_verdict->setObjectName(QStringLiteral("verdict"));
    m_verdict->setWordWrap(true);
    m_verdict->setFont(scaledFont(font(), 1.15, true));
    m_assumptions->setObjectName(QStringLiteral("assumptions"));
    m_assumptions->setWordWrap(true);
    m_assumptions->setAlignment(Qt::AlignTop | Qt::AlignLeft);
    m_assumptions->setMargin(8);
    m_assumptions->setTextInteractionFlags(Qt::TextSelectableByMouse);
    m_figures->setObjectName(QStringLiteral("figures"));
    m_sources->setObjectName(QStringLiteral("sources"));
    m_figures->horizontalHeader()->setSectionResizeMode(QHeaderView::ResizeToContents);
    m_figures->horizontalHeader()->setSectionResizeMode(0, QHeaderView::Stretch);
    m_sources->horizontalHeader()->setSectionResizeMode(0, QHeaderView::ResizeToContents);
    m_sources->horizontalHeader()->setSectionResizeMode(1, QHeaderView::ResizeToContents);
    m_sources->horizontalHeader()->setSectionResizeMode(2, QHeaderView::Stretch);

    auto* assumptions = new QScrollArea;
    assumptions->setWidgetResizable(true);
    assumptions->setFrameShape(QFrame::NoFrame);
    assumptions->setWidget(m_assumptions);
    auto* tables = new QTabWidget;
    tables->setDocumentMode(true);
    tables->addTab(m_figures, tr("Figures"));
    tables->addTab(m_sources, tr("Sources"));
    tables->addTab(assumptions, tr("Assumptions"));

    auto* left = new QSplitter(Qt::Vertical);
    left->addWidget(m_memory);
    left->addWidget(m_latency);
    left->setChildrenCollapsible(false);
    auto* right = new QSplitter(Qt::Vertical);
    right->addWidget(m_roofline);
    right->addWidget(tables);
    right->setStretchFactor(0, 3);
    right->setStretchFactor(1, 2);
    right->setChildrenCollapsible(false);
    auto* splitter = new QSplitter;
    splitter->addWidget(left);
    splitter->addWidget(right);
    splitter->setSizes({500, 500});
    splitter->setChildrenCollapsible(false);

    auto* layout = new QVBoxLayout(this);
    layout->addWidget(makeControls());
    layout->addWidget(m_verdict);
    layout->addWidget(splitter, 1);

    for (QComboBox* combo : {m_device, m_keyValue})
        connect(combo, &QComboBox::currentIndexChanged, this, &SavingsPage::refresh);
    for (QSpinBox* spin : {m_context, m_batch})
        connect(spin, &QSpinBox::valueChanged, this, &SavingsPage::refresh);
    connect(m_workbench, &Workbench::modelChanged, this, &SavingsPage::refresh);
    connect(m_workbench, &Workbench::recipeChanged, this, &SavingsPage::refresh);
    refresh();
}

QWidget* SavingsPage::makeControls()
{
    m_device->setObjectName(QStringLiteral("device"));
    m_device->setSizeAdjustPolicy(QComboBox::AdjustToContents);
    m_context->setObjectName(QStringLiteral("context"));
    m_context->setRange(1, 16'777'216);
    m_context->setValue(4096);
    m_context->setGroupSeparatorShown(true);
    m_context->setStepType(QAbstractSpinBox::AdaptiveDecimalStepType);
    m_context->setToolTip(tr("Tokens held in the KV cache, prompt included."));
    m_batch->setObjectName(QStringLiteral("batch"));
    m_batch->setRange(1, 4096);
    m_batch->setToolTip(
        tr("Sequences decoded together. Weights are read once for all of them, the KV cache once for each."));
    m_keyValue->setObjectName(QStringLiteral("keyValue"));
    m_keyValue->setSizeAdjustPolicy(QComboBox::AdjustToMinimumContentsLengthWithIcon);
    m_keyValue->setMinimumContentsLength(10);
    struct Precision {
        QString name;
        double bits;
    };
    // Scales of 16 bits are part of the figures: a group of 128 or 32 values shares one.
    const std::array<Precision, 4> precisions {{{tr("FP16, 16 bits"), 16.0}, {tr("FP8, 8 bits"), 8.0},
        {tr("INT8 g128, 8.13 bits"), 8.125}, {tr("INT4 g32, 4.5 bits"), 4.5}}};
    for (const Precision& precision : precisions)
        m_keyValue->addItem(precision.name, precision.bits);
    m_keyValue->setToolTip(tr("Precision of the recipe's KV cache, scales included. The base keeps FP16."));

    auto* row = new QWidget;
    auto* layout = new QHBoxLayout(row);
    layout->setContentsMargins(0, 0, 0, 0);
    const std::array<std::pair<QString, QWidget*>, 4> fields {{{tr("&Device"), m_device}, {tr("Conte&xt"), m_context},
        {tr("&Batch"), m_batch}, {tr("&KV cache"), m_keyValue}}};
    for (const auto& [text, field] : fields) {
        auto* label = new QLabel(text);
        label->setBuddy(field);
        layout->addWidget(label);
        layout->addWidget(field);
        layout->addSpacing(4);
    }
    layout->addStretch(1);
    return row;
}

void SavingsPage::showEvent(QShowEvent* event)
{
    QWidget::showEvent(event);
    if (m_stale)
        refresh();
}

Workload SavingsPage::workload() const
{
    const Workload chosen {.context = static_cast<std::uint64_t>(m_context->value()),
        .batch = static_cast<std::uint64_t>(m_batch->value())};
    const double bits = m_keyValue->currentData().toDouble();
    if (bits == asTheRecipeSays)
        return workloadUnder(m_workbench->recipe(), m_workbench->catalog(), chosen);
    return {chosen.context, chosen.batch, bits};
}

void SavingsPage::showKeyValue()
{
    const auto& cache = m_workbench->recipe().keyValueCache;
    const QString wanted = cache ? tr("Recipe: %1").arg(QString::fromStdString(cache->toString())) : QString();
    const int own = m_keyValue->findData(asTheRecipeSays);
    if (own < 0 ? wanted.isEmpty() : m_keyValue->itemText(own) == wanted)
        return;
    const QSignalBlocker blocker(m_keyValue);
    if (own >= 0)
        m_keyValue->removeItem(own);
    if (!wanted.isEmpty())
        m_keyValue->insertItem(0, wanted, asTheRecipeSays);
    m_keyValue->setCurrentIndex(0);
}

const DeviceProfile* SavingsPage::device() const
{
    const auto& devices = m_workbench->devices();
    const QString id = m_device->currentData().toString();
    const auto found = std::find_if(devices.begin(), devices.end(),
        [&](const DeviceProfile& profile) { return QString::fromStdString(profile.id) == id; });
    return found == devices.end() ? nullptr : &*found;
}

void SavingsPage::showDevices()
{
    const auto& devices = m_workbench->devices();
    if (static_cast<std::size_t>(m_device->count()) == devices.size())
        return;
    const QSignalBlocker blocker(m_device);
    m_device->clear();
    for (const DeviceProfile& profile : devices)
        m_device->addItem(QString::fromStdString(profile.name), QString::fromStdString(profile.id));
}

void SavingsPage::refresh()
{
    m_stale = !isVisible();
    if (m_stale)
        return;
    showDevices();
    showKeyValue();
    const DeviceProfile* profile = device();
    if (!m_workbench->hasModel() || !profile) {
        m_verdict->setText(m_workbench->hasModel() ? tr("No device profiles were found") : QString());
        m_memory->setData({});
        m_latency->setData({});
        m_roofline->setData({});
        m_figures->setRowCount(0);
        m_sources->setRowCount(0);
        m_assumptions->clear();
        return;
    }
    const ModelCatalog& model = m_workbench->catalog();
    Workload baseWorkload = workload();
    baseWorkload.keyValueBits = 16.0;
    const Projection base = project(model, unquantizedPlan(model), *profile, baseWorkload);
    const Projection recipe = project(model, m_workbench->plan(), *profile, workload());
    const std::vector<figures::Scenario> scenarios {{tr("As stored"), base}, {tr("Recipe"), recipe}};
    m_memory->setData(figures::memoryStack(scenarios, {*profile}));
    m_latency->setData(figures::latency(scenarios));
    m_roofline->setData(figures::roofline(scenarios, *profile));

    const QString name = QString::fromStdString(profile->name);
    const QString needs = format::bytes(recipe.totalBytes()),
                  has = format::bytes(static_cast<std::uint64_t>(profile->memoryBytes.value));
    m_verdict->setText(recipe.fits
            ? tr("The recipe fits on %1: %2 of %3 (projected)").arg(name, needs, has)
            : tr("The recipe does not fit on %1: it needs %2 of %3 (projected)").arg(name, needs, has));
    m_device->setToolTip(tr("Memory %1: %2\nBandwidth %3: %4")
                             .arg(has, QString::fromStdString(profile->memoryBytes.source),
                                 format::si(profile->memoryBandwidth.value, QStringLiteral("B/s")),
                                 QString::fromStdString(profile->memoryBandwidth.source)));
    fillFigures(base, recipe);
    fillSources(*profile);
    QStringList assumptions {tr("Nothing on this page was measured. Memory, speed and energy follow from the device's "
                                "published figures by a roofline model: an "
                                "operation takes the longer of moving its bytes and doing its arithmetic.")};
    for (const std::string& assumption : recipe.assumptions)
        assumptions << QString::fromStdString(assumption);
    m_assumptions->setTextFormat(Qt::PlainText);
    m_assumptions->setText(assumptions.join(QStringLiteral("\n\n")));
}

void SavingsPage::fillFigures(const Projection& base, const Projection& recipe)
{
    m_figures->setRowCount(0);
    const auto bytes = [&](const QString& title, std::uint64_t before, std::uint64_t after) {
        addRow(m_figures,
            {title, format::bytes(before), format::bytes(after),
                ratio(static_cast<double>(after), static_cast<double>(before))},
            1, 3);
    };
    bytes(tr("Weights"), base.weightsBytes, recipe.weightsBytes);
    bytes(tr("KV cache"), base.keyValueBytes, recipe.keyValueBytes);
    bytes(tr("Activations"), base.activationBytes, recipe.activationBytes);
    bytes(tr("Total"), base.totalBytes(), recipe.totalBytes());
    const auto yesNo = [](bool fits) { return fits ? tr("yes") : tr("no"); };
    addRow(m_figures, {tr("Fits"), yesNo(base.fits), yesNo(recipe.fits), QString()}, 1, 3);
    const auto number = [&](const QString& title, double before, double after) {
        addRow(m_figures, {title, rate(before), rate(after), ratio(after, before)}, 1, 3);
    };
    number(tr("Prefill (tokens/s)"), base.prefillTokensPerSecond, recipe.prefillTokensPerSecond);
    number(tr("Decode (tokens/s)"), base.decodeTokensPerSecond, recipe.decodeTokensPerSecond);
    const auto bound = [](bool memory) { return memory ? tr("memory") : tr("arithmetic"); };
    addRow(m_figures,
        {tr("Prefill bound by"), bound(base.prefillMemoryBound), bound(recipe.prefillMemoryBound), QString()}, 1, 3);
    addRow(m_figures,
        {tr("Decode bound by"), bound(base.decodeMemoryBound), bound(recipe.decodeMemoryBound), QString()}, 1, 3);
    addRow(m_figures,
        {tr("Energy per token"), format::si(base.energyPerToken, QStringLiteral("J")),
            format::si(recipe.energyPerToken, QStringLiteral("J")), ratio(recipe.energyPerToken, base.energyPerToken)},
        1, 3);
}

void SavingsPage::fillSources(const DeviceProfile& device)
{
    m_sources->setRowCount(0);
    const auto add = [&](const QString& title, const QString& value, const DeviceFigure& figure) {
        addRow(m_sources, {title, value, QString::fromStdString(figure.source)}, 1, 1);
    };
    add(tr("Memory"), format::bytes(static_cast<std::uint64_t>(device.memoryBytes.value)), device.memoryBytes);
    add(tr("Memory bandwidth"), format::si(device.memoryBandwidth.value, QStringLiteral("B/s")),
        device.memoryBandwidth);
    add(tr("Share of bandwidth reached"), format::percent(device.bandwidthEfficiency.value),
        device.bandwidthEfficiency);
    add(tr("Share of arithmetic reached"), format::percent(device.computeEfficiency.value), device.computeEfficiency);
    for (const ComputeRate& compute : device.compute)
        add(tr("Peak rate, %1").arg(QString::fromStdString(compute.type)), format::si(compute.rate.value, tr("op/s")),
            compute.rate);
    add(tr("Energy per byte"), format::si(device.energyPerByte.value, QStringLiteral("J")), device.energyPerByte);
    add(tr("Energy per operation"), format::si(device.energyPerOperation.value, QStringLiteral("J")),
        device.energyPerOperation);
    add(tr("Idle power"), format::si(device.idlePower.value, QStringLiteral("W")), device.idlePower);
}
