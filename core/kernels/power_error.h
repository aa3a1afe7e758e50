// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/kernels/unit_grid.h"

#include <span>

namespace quantloupe::kernels {

/// Σ (|w − ŵ|·factor)^2.4 per unit over the finite originals: what GPTQ's clipping search minimises. Row after row,
/// one sum per unit (shape.shared is not looked at), each multiplied with its own `factor`, a power of two that keeps
/// tiny and huge weights in float's range; it cancels when candidates of one unit are compared.
/// Within 2e-6 of the reference, relative, per sum. @pre spans hold whole rows; factors and sums: one per unit.
void powerErrorsOfUnits(std::span<const float> original, std::span<const float> quantized, const UnitShape& shape,
    std::span<const float> factors, std::span<double> sums);
/// std::pow in double.
void powerErrorsOfUnitsReference(std::span<const float> original, std::span<const float> quantized,
    const UnitShape& shape, std::span<const float> factors, std::span<double> sums);

/// The power of two that brings absMax into [1, 2), as far as float reaches; 1 for 0.
float powerErrorFactor(float absMax);

}  // namespace quantloupe::kernels
