// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/calibration/calibrate.h"
#include "core/study/calibration_run.h"

#include <functional>
#include <stop_token>
#include <string>

namespace quantloupe {

/// How a study is calibrated.
struct StudyCalibration {
    CalibrationLimits limits {};
    bool moments = true;  ///< second moments and samples: what algorithms need
    bool fresh = false;   ///< forget what the study knows from texts
    /// Shown what is known of each input as soon as the study has it, on one thread at a time.
    std::function<void(const InputFigures&)> watch {};
};

/// Runs the model on the text into the study, or goes on with a run that was interrupted; what is finished stays there
/// whatever happens. Errors: those of CalibrationRun and of calibrate(). @pre the study is that of the decoder's model
Result<CalibrationRun::Kind> calibrateStudy(Study& study, const Decoder& decoder, const WindowedText& windows,
    const std::string& textName, const StudyCalibration& how, std::stop_token stop, Progress& progress);

}  // namespace quantloupe
