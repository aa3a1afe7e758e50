// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/schemes/scheme.h"

#include <string>

namespace quantloupe {

/// Whether there is something from running the model on text to go by.
enum class Calibration : bool { Absent, Given };

/// Whether weights can be rounded this way, with these algorithms on this format. Empty if so, otherwise why not, as a
/// clause such as "algorithm hqq moves a floating minimum: write asymf". A scheme without algorithms has nothing to
/// refuse here.
///
/// Without calibration gptq, cd, awq, smooth, adaround, imatrix and qat are refused. Of an allowed scheme the order of
/// work is fixed: equalization, scaling of columns (awq, smooth), rotation, grids (hqq, cd, awq), rounding (gptq, cd,
/// adaround, qat), the way back, and bias correction in the original basis.
/// Allowed is not useful: floats (fp8, …) round in proportion, so that spreading an outlier raises their error; row
/// factors change nothing where a row has scales of its own; the files of block formats (q4_k, mxfp4) hold neither
/// corrections nor rotations, so that with these such a scheme can be measured but not exported.
/// imatrix needs no calibration where the tensor has its importance: that weighs whatever searches.
std::string algorithmRefusal(const Scheme& scheme, Calibration calibration = Calibration::Absent);

/// Whether an algorithm of the scheme goes by what calibration taught: gptq, cd, awq, smooth, adaround,
/// imatrix, qat.
bool needsInputs(const Scheme& scheme);

/// The scheme without those, for a layer whose inputs nobody saw.
Scheme withoutInputs(Scheme scheme);

/// Whether the scheme lists this algorithm.
bool uses(const Scheme& scheme, Algorithm algorithm);

}  // namespace quantloupe
