// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/pages/budget_row.h"

#include "widgets/pages/frontier_budget.h"
#include "widgets/support/format_text.h"
#include "widgets/theme/fonts.h"
#include "widgets/workbench/workbench.h"

#include <QComboBox>
#include <QDoubleSpinBox>
#include <QHBoxLayout>
#include <QLabel>
#include <QSignalBlocker>
#include <QSlider>
#include <QSpinBox>
#include <QStandardItemModel>
#include <QVBoxLayout>

#include <algorithm>
#include <cmath>
#include <cstdint>

using quantloupe::AllocationBudget;
using Kind = quantloupe::AllocationBudget::Kind;

namespace {

constexpr QLatin1String readingView("trade-off/budget");
constexpr double mebibyte = 1024.0 * 1024.0;

/// Roles of the list of units.
enum UnitRole { KindRole = Qt::UserRole, PerUnitRole };

void setOffered(QComboBox* box, Kind kind, const QString& reason, const QString& what)
{
    auto* model = qobject_cast<QStandardItemModel*>(box->model());
    for (int row = 0; row < box->count(); ++row)
        if (box->itemData(row, KindRole).toInt() == static_cast<int>(kind)) {
            model->item(row)->setEnabled(reason.isEmpty());
            model->item(row)->setToolTip(reason.isEmpty() ? what : reason);
        }
}

/// The smallest error that is none.
double leastError(const quantloupe::Frontier& frontier)
{
    double least = 0.0;
    for (const auto& point : frontier.points)
        if (point.error > 0.0)
            least = point.error;
    return least;
}

}  // namespace

BudgetRow::BudgetRow(Workbench* workbench, FrontierBudget* budget, QWidget* parent)
    : QWidget(parent)
    , m_workbench(workbench)
    , m_budget(budget)
    , m_slider(new QSlider(Qt::Horizontal))
    , m_spin(new QDoubleSpinBox)
    , m_unit(new QComboBox)
    , m_device(new QComboBox)
    , m_context(new QSpinBox)
    , m_projected(new QLabel)
{
    m_slider->setObjectName(QStringLiteral("budget"));
    m_slider->setRange(0, LogScale::steps);
    m_slider->setPageStep(LogScale::steps / 20);
    m_slider->setSingleStep(LogScale::steps / 200);
    m_slider->setAccessibleName(tr("Budget"));
    m_spin->setObjectName(QStringLiteral("budgetValue"));
    m_spin->setFont(tabularFont(font()));
    m_spin->setKeyboardTracking(false);
    m_unit->setObjectName(QStringLiteral("budgetUnit"));
    const auto addUnit = [this](const QString& text, Kind kind, double perUnit) {
        m_unit->addItem(text);
        m_unit->setItemData(m_unit->count() - 1, static_cast<int>(kind), KindRole);
        m_unit->setItemData(m_unit->count() - 1, perUnit, PerUnitRole);
    };
    addUnit(tr("bits per weight"), Kind::BitsPerWeight, 1.0);
    addUnit(QStringLiteral("MiB"), Kind::Size, mebibyte);
    addUnit(QStringLiteral("GiB"), Kind::Size, 1024.0 * mebibyte);
    addUnit(tr("MiB on the device"), Kind::DeviceMemory, mebibyte);
    addUnit(tr("GiB on the device"), Kind::DeviceMemory, 1024.0 * mebibyte);
    addUnit(tr("ms per token"), Kind::StepTime, 1.0);
    addUnit(tr("nats of KL, at most"), Kind::Divergence, 1.0);
    m_unit->setAccessibleName(tr("Unit of the budget"));
    auto* title = new QLabel(tr("&Budget"));
    title->setBuddy(m_slider);
    auto* line = new QHBoxLayout;
    line->addWidget(title);
    line->addWidget(m_slider, 1);
    line->addWidget(m_spin);
    line->addWidget(m_unit);
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->addLayout(line);
    makeDeviceLine();

    connect(m_slider, &QSlider::valueChanged, this, &BudgetRow::onSlider);
    connect(m_slider, &QSlider::sliderReleased, m_budget, &FrontierBudget::endMove);
    connect(m_spin, &QDoubleSpinBox::valueChanged, this, &BudgetRow::onSpin);
    connect(m_spin, &QDoubleSpinBox::editingFinished, m_budget, &FrontierBudget::endMove);
    connect(m_unit, &QComboBox::currentIndexChanged, this, &BudgetRow::ask);
    connect(m_device, &QComboBox::currentIndexChanged, this, &BudgetRow::ask);
    connect(m_context, &QSpinBox::valueChanged, this, &BudgetRow::ask);
    connect(m_budget, &FrontierBudget::pictureChanged, this, &BudgetRow::ask);
    connect(m_budget, &FrontierBudget::currentChanged, this, &BudgetRow::show);
    connect(m_budget, &FrontierBudget::refused, this, [this](const QString& reason) {
        m_refusal = reason;
        showDevice();
    });
    connect(m_workbench, &Workbench::recipeChanged, this, &BudgetRow::ask);
    connect(m_workbench, &Workbench::modelChanged, this, [this] {
        m_unit->setCurrentIndex(0);
        ask();
    });
    showDevices();
    ask();
}

void BudgetRow::makeDeviceLine()
{
    m_device->setObjectName(QStringLiteral("device"));
    m_device->setAccessibleName(tr("Device"));
    m_device->setSizeAdjustPolicy(QComboBox::AdjustToMinimumContentsLengthWithIcon);
    m_device->setMinimumContentsLength(24);
    m_device->setToolTip(tr("What the recipe is to run on. Memory and time there are projected, not measured."));
    m_context->setObjectName(QStringLiteral("deviceContext"));
    m_context->setRange(1, 100'000'000);
    m_context->setSingleStep(1024);
    m_context->setGroupSeparatorShown(true);
    m_context->setValue(4096);
    m_context->setKeyboardTracking(false);
    m_context->setFont(tabularFont(font()));
    m_context->setToolTip(tr("Tokens in the KV cache of one sequence on the device"));
    m_projected->setObjectName(QStringLiteral("projected"));
    m_projected->setWordWrap(true);
    m_projected->setForegroundRole(QPalette::PlaceholderText);
    auto* title = new QLabel(tr("&Device"));
    title->setBuddy(m_device);
    auto* tokens = new QLabel(tr("Conte&xt"));
    tokens->setBuddy(m_context);
    auto* line = new QHBoxLayout;
    line->addWidget(title);
    line->addWidget(m_device);
    line->addWidget(tokens);
    line->addWidget(m_context);
    line->addStretch(1);
    auto* column = static_cast<QVBoxLayout*>(layout());
    column->addLayout(line);
    column->addWidget(m_projected);
}

void BudgetRow::showDevices()
{
    m_device->addItem(tr("none"), -1);
    const auto& devices = m_workbench->devices();
    for (std::size_t i = 0; i < devices.size(); ++i)
        m_device->addItem(QString::fromStdString(devices[i].name), static_cast<int>(i));
}

const quantloupe::DeviceProfile* BudgetRow::device() const
{
    const int index = m_device->currentData().toInt();
    return index < 0 ? nullptr : &m_workbench->devices()[static_cast<std::size_t>(index)];
}

Kind BudgetRow::kind() const
{
    return static_cast<Kind>(m_unit->currentData(KindRole).toInt());
}

double BudgetRow::perUnit() const
{
    return kind() == Kind::BitsPerWeight
        ? std::max(1e-9, static_cast<double>(m_workbench->catalog().parameters()) / 8.0)
        : m_unit->currentData(PerUnitRole).toDouble();
}

AllocationBudget BudgetRow::budget(double value) const
{
    AllocationBudget budget {.kind = kind() == Kind::BitsPerWeight ? Kind::Size : kind(), .value = value};
    budget.workload = workloadUnder(
        m_workbench->recipe(), m_workbench->catalog(), {.context = static_cast<std::uint64_t>(m_context->value())});
    if (const auto* profile = device())
        budget.device = *profile;
    return budget;
}

/// Off is what cannot be given, with what would make it possible.
void BudgetRow::offerUnits()
{
    const auto noDevice = device()       ? QString()
        : m_workbench->devices().empty() ? tr("No device profiles are installed")
                                         : tr("Choose a device below first");
    const auto noPrediction = predictsKl(m_budget->picture()->metric)
        ? QString()
        : tr("Nothing predicts the KL yet: Analyze → Rank layers by text, or calibrate with gradients");
    setOffered(
        m_unit, Kind::DeviceMemory, noDevice, tr("What the device's memory holds, KV cache and activations among it"));
    setOffered(m_unit, Kind::StepTime, noDevice, tr("Projected time of one decoded token on the device"));
    setOffered(m_unit, Kind::Divergence, noPrediction,
        tr("The fewest bytes whose predicted divergence, summed over layers, stays below"));
    const bool offered = (noDevice.isEmpty() || (kind() != Kind::DeviceMemory && kind() != Kind::StepTime))
        && (noPrediction.isEmpty() || kind() != Kind::Divergence);
    const QSignalBlocker blocker(m_unit);
    if (!offered)
        m_unit->setCurrentIndex(0);
}

void BudgetRow::ask()
{
    m_refusal.clear();
    offerUnits();
    if (!device() || !m_workbench->hasModel()) {
        m_workbench->jobs()->cancel(readingView);
        m_reading.reset();
        show();
        return;
    }
    m_workbench->jobs()->compute<Reading>(
        this, {tr("Recipe on a device"), readingView, false},
        [picture = m_budget->picture(), study = m_workbench->study(), recipe = m_workbench->recipe(),
            plan = m_workbench->plan(), budget = budget(device()->memoryBytes.value)](
            std::stop_token, quantloupe::Progress&) -> quantloupe::Result<Reading> {
            const auto& model = study->model;
            Reading reading {.projection = project(model, plan, *budget.device, budget.workload)};
            reading.spent = spentBy(plan, budget, model);
            if (picture->frontier.points.empty())
                return reading;
            const auto limit = limitOf(budget, model, recipe);
            if (!limit)
                return tl::unexpected(limit.error());
            reading.range = rangeOf(limitedClasses(picture->frontier, *study, *limit));
            if (budget.kind == Kind::DeviceMemory) {
                const double rest = memoryBesideWeights(model, *budget.device, budget.workload);
                reading.range.least += rest;
                reading.range.most = std::min(reading.range.most + rest, budget.device->memoryBytes.value);
            }
            return reading;
        },
        [this](const quantloupe::Result<Reading>& reading) {
            m_reading.reset();
            if (reading)
                m_reading = *reading;
            else
                m_refusal = QString::fromStdString(reading.error().reason);
            show();
        });
    show();
}

/// Of sizes and divergences the picture knows, of devices the job.
std::optional<BudgetRow::Reading> BudgetRow::reading() const
{
    if (!m_budget->isReady())
        return std::nullopt;
    const auto& frontier = m_budget->picture()->frontier;
    switch (kind()) {
    case Kind::DeviceMemory:
    case Kind::StepTime: return m_reading;
    case Kind::Divergence:
        return Reading {.range = {leastError(frontier), frontier.points.front().error},
            .spent = m_budget->current() ? m_budget->current()->error : NAN};
    default: break;
    }
    return Reading {.range = {static_cast<double>(frontier.points.front().bytes),
                        static_cast<double>(frontier.points.back().bytes)},
        .spent = static_cast<double>(m_workbench->plan().bytes)};
}

LogScale BudgetRow::scale(const Reading& reading) const
{
    return {reading.range.least, reading.range.most};
}

void BudgetRow::show()
{
    const auto known = reading();
    const bool ready = known && known->range.most > known->range.least;
    m_slider->setEnabled(ready);
    m_spin->setEnabled(ready);
    m_unit->setEnabled(m_workbench->hasModel());
    const QString what = kind() == Kind::Divergence
        ? tr("What the predictions may move, in nats per token. The recipe becomes the smallest whose predicted KL "
             "stays "
             "below. Kept tensors stay.")
        : tr("What the model may take. Moving it chooses the scheme of every tensor so that the error is least within "
             "it, and rewrites the recipe. Kept tensors stay.");
    const bool full = known && !ready && kind() == Kind::DeviceMemory;
    for (QWidget* control : {static_cast<QWidget*>(m_slider), static_cast<QWidget*>(m_spin)}) {
        control->setToolTip(
            full ? tr("Even the smallest recipe of the measured schemes does not fit the device") : what);
        control->setWhatsThis(what);
    }
    showDevice();
    if (!m_workbench->hasModel())
        return;
    const QSignalBlocker spinBlocker(m_spin);
    const double unit = perUnit();
    const double spent = (known ? known->spent : static_cast<double>(m_workbench->plan().bytes)) / unit;
    if (ready) {
        const double least = known->range.least / unit, most = known->range.most / unit;
        // Three significant digits of the least, whatever the unit and the model.
        m_spin->setDecimals(std::clamp(2 - static_cast<int>(std::floor(std::log10(std::max(least, 1e-6)))), 1, 6));
        const double floor = kind() == Kind::Divergence ? 0.0 : std::min(least, std::isnan(spent) ? least : spent);
        m_spin->setRange(floor, std::isnan(spent) ? most : std::max(most, spent));
        m_spin->setSingleStep((most - least) / 100.0);
    } else {
        m_spin->setDecimals(3);
        m_spin->setRange(0.0, 1e9);
    }
    if (std::isnan(spent))
        return;
    if (!m_spin->hasFocus() || !m_budget->isMoving())
        m_spin->setValue(spent);
    if (ready && !m_budget->isMoving() && !m_slider->isSliderDown()) {
        const QSignalBlocker sliderBlocker(m_slider);
        const int position = scale(*known).positionOf(known->spent);
        // To the right the model grows, whatever the budget is of.
        m_slider->setValue(kind() == Kind::Divergence ? LogScale::steps - position : position);
    }
}

void BudgetRow::showDevice()
{
    m_context->setEnabled(device() != nullptr);
    m_projected->setVisible(!m_refusal.isEmpty() || (device() && m_reading && m_reading->projection));
    if (!m_refusal.isEmpty()) {
        m_projected->setText(m_refusal);
        return;
    }
    if (!m_reading || !m_reading->projection || !device()) {
        m_projected->clear();
        return;
    }
    const auto& projection = *m_reading->projection;
    const auto total = format::bytes(projection.totalBytes());
    const auto memory = format::bytes(static_cast<std::uint64_t>(device()->memoryBytes.value));
    const auto time = format::number(1e3 / projection.decodeTokensPerSecond, 3);
    m_projected->setText(projection.fits ? tr("Projected: %1 of %2, %3 ms per token").arg(total, memory, time)
                                         : tr("Projected: does not fit, %1 of %2").arg(total, memory));
}

void BudgetRow::onSlider(int position)
{
    const auto known = reading();
    if (!known)
        return;
    const double wanted = scale(*known).at(kind() == Kind::Divergence ? LogScale::steps - position : position);
    spend(budget(wanted).kind == Kind::Size ? std::ceil(wanted) : wanted);
    // Steps by key or wheel are not followed by a release.
    if (!m_slider->isSliderDown())
        m_budget->endMove();
}

void BudgetRow::onSpin(double value)
{
    if (reading())
        spend(value * perUnit());
}

void BudgetRow::spend(double value)
{
    const auto wanted = budget(value);
    if (wanted.kind == Kind::Size)
        m_budget->moveTo(static_cast<std::uint64_t>(std::llround(value)));
    else
        m_budget->moveWithin(wanted);
}
