// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/allocation/limited_classes.h"
#include "core/report/budget.h"
#include "widgets/pages/log_scale.h"

#include <QWidget>

#include <optional>

class FrontierBudget;
class QComboBox;
class QDoubleSpinBox;
class QLabel;
class QSlider;
class QSpinBox;
class Workbench;

/// The budget as a person has it: a size, what a device's memory holds, the time of a token there, or the most that the
/// predictions may move. Moving it rewrites the recipe. What cannot be given yet is listed, off, and says why.
class BudgetRow final : public QWidget
{
    Q_OBJECT
public:
    BudgetRow(Workbench* workbench, FrontierBudget* budget, QWidget* parent = nullptr);

private:
    /// What a job finds out about the budget that is shown and about the recipe on the device.
    struct Reading {
        quantloupe::LimitRange range {};
        double spent = 0.0;  ///< by the recipe; of sizes bytes
        std::optional<quantloupe::Projection> projection {};
    };

    void makeDeviceLine();
    void showDevices();
    void offerUnits();
    void ask();   ///< for a new reading
    void show();  ///< what is known
    void showDevice();
    void onSlider(int position);
    void onSpin(double value);
    void spend(double value);

    quantloupe::AllocationBudget::Kind kind() const;
    const quantloupe::DeviceProfile* device() const;
    /// The budget of the kind that is shown, in bytes, milliseconds or nats.
    quantloupe::AllocationBudget budget(double value) const;
    double perUnit() const;  ///< of the spin box, in those
    std::optional<Reading> reading() const;
    LogScale scale(const Reading& reading) const;

    Workbench* m_workbench;
    FrontierBudget* m_budget;
    QSlider* m_slider;
    QDoubleSpinBox* m_spin;
    QComboBox *m_unit, *m_device;
    QSpinBox* m_context;
    QLabel* m_projected;
    std::optional<Reading> m_reading;  ///< of a device, or with one
    QString m_refusal;                 ///< why the last budget could not be met
};
