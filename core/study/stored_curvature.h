// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/calibration/layer_curvature.h"
#include "core/study/study.h"

#include <filesystem>
#include <memory>
#include <stop_token>

namespace quantloupe {

/// What the gradients in a study say of one layer; null where there are none of it. `path`: the study's file.
/// Errors: as StoredLayerInputs::load().
Result<std::shared_ptr<const LayerCurvature>> loadCurvature(
    const StudySnapshot& study, const std::filesystem::path& path, const LayerName& layer, const std::stop_token& stop);

}  // namespace quantloupe
