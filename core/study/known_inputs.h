// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/model/model.h"
#include "core/study/study.h"

#include <filesystem>

namespace quantloupe {

/// The model with what a study's calibration knows of its layers' inputs (ModelTensor::inputs), for whatever goes by
/// it. `path`: the study's file. Without a finished calibration in it, nothing is known.
/// @pre the study is that of the model
Model withKnownInputs(const Model& model, const StudyPointer& study, const std::filesystem::path& path);

}  // namespace quantloupe
