// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/calibration/calibrate.h"
#include "core/study/study.h"

#include <cstddef>
#include <cstdint>
#include <stop_token>
#include <string>

namespace quantloupe {

/// How gradients are taken into a study.
struct GradientCalibration {
    CalibrationLimits limits {};
    std::size_t tokens = 0;  ///< of the text, at most; 0: gradientTokens
    bool fisher = true;      ///< the weights' squared gradients too: 4 bytes per weight beside the study
};

/// What gradients of all layers of a model will take on disk. Bytes; experts that no token is routed to take none.
std::uint64_t gradientBytes(const ModelCatalog& model, bool fisher);

/// Takes the gradients of the text's first windows into the study; each layer is durable as soon as it is gathered, and
/// a layer that is known from the same windows is not gathered again. Those of another text are replaced layer by
/// layer. How many layers were gathered. Errors: those of gatherGradients(), CannotWrite.
/// @pre the study is that of the decoder's model
Result<std::size_t> calibrateGradients(Study& study, const Decoder& decoder, const WindowedText& windows,
    const std::string& textName, const GradientCalibration& how, std::stop_token stop, Progress& progress);

}  // namespace quantloupe
