// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "widgets/support/qcustomplot.h"

/// Perceptually even, from dark blue over green to yellow: magnitudes. NaN is transparent.
/// Source: Smith, van der Walt and Firing, viridis (CC0), sampled at 17 places.
QCPColorGradient viridis();

/// Blue – neutral – red-orange with the neutral middle in the background's tone: signed values about zero.
QCPColorGradient diverging(bool dark);
