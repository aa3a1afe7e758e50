// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/calibration/input_figures.h"
#include "core/calibration/second_moments.h"
#include "core/calibration/token_sample.h"

namespace quantloupe {

/// All that one run taught about some inputs.
struct GatheredInput {
    InputFigures figures;
    SecondMoments moments;
    TokenSample sample;
};

}  // namespace quantloupe
