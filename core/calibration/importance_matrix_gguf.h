// SPDX-License-Identifier: GPL-3.0-or-later
// The GGUF form of importance matrices. For use inside this room.
#pragma once

#include "core/base/mapped_file.h"
#include "core/calibration/importance_matrix.h"

#include <string>
#include <string_view>

namespace quantloupe {

inline constexpr std::string_view kGgufMagic = "GGUF";

Result<ImportanceMatrix> readGgufImportance(Bytes file, const std::string& where);

/// Whether numbers may serve as sums or counts; the error names the byte, `begin` being that of the first.
Result<void> requireSums(const std::vector<float>& numbers, std::uint64_t begin, const std::string& where);

}  // namespace quantloupe
