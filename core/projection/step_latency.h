// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/projection/operation_costs.h"
#include "core/projection/projection.h"

#include <cstddef>
#include <optional>

namespace quantloupe {

/// A cost on a device's roofline. An operand type that the device cannot compute at all never ends.
RooflinePoint onDevice(const OperationCost& cost, const DeviceProfile& device);

/// The step that makes the next token of every sequence.
Pass decodePass(const ModelFigures& figures, const Workload& workload);

/// Seconds of a decode step as a sum over tensors, so that a budget can be shared out among them. Each tensor is an
/// operation by itself: where memory bounds some of a kind and arithmetic others, the sum is above that of project(),
/// never below. Nothing here was measured. Borrows the model and the device.
class StepLatency
{
public:
    StepLatency(const ModelCatalog& model, const DeviceProfile& device, const Workload& workload);

    /// @pre planned.bytes is set
    double secondsOf(const PlannedTensor& planned) const;
    /// What is no tensor: the KV cache.
    double secondsOfCache() const;
    /// Sum of both over a plan.
    double secondsOf(const Plan& plan) const;

private:
    const ModelCatalog* m_model;
    const DeviceProfile* m_device;
    ModelFigures m_figures;
    Pass m_pass;
    bool m_standsForHead;
};

}  // namespace quantloupe
