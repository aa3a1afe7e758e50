// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/inference/text_windows.h"

namespace quantloupe {

/// What a student is trained on, and what it is judged by.
struct TrainingTexts {
    WindowedText text {}, heldOut {};
};

/// The same windows with all of their predictions scored: in training each counts, unlike where a text is judged.
WindowedText scoredWhole(WindowedText text);

/// The last `percent` of the windows, rounded down, but at least one, are held out.
/// Errors: InvalidArgument (nothing would remain to train on, or `percent` is not in 1 … 99).
Result<TrainingTexts> holdOut(WindowedText text, unsigned percent = 10);

}  // namespace quantloupe
