// SPDX-License-Identifier: GPL-3.0-or-later
// The group /recipes of a study. For use inside this room; the schema is in study_file.h.
#pragma once

#include "core/study/hdf5_handles.h"
#include "core/study/study.h"

#include <tl/expected.hpp>

#include <cstdint>
#include <string>

namespace quantloupe {

/// Writes nothing where there are none. False: the library could not.
bool writeMeasuredRecipes(hid_t file, const MeasuredRecipes& recipes);

/// `bytes`: of the file, which bounds every allocation. The error says what is wrong, and where in the file.
tl::expected<MeasuredRecipes, std::string> readMeasuredRecipes(hid_t file, std::uint64_t bytes);

}  // namespace quantloupe
