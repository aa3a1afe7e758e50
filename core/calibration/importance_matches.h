// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/calibration/importance_matrix.h"
#include "core/model/model.h"

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace quantloupe {

/// A model whose tensors say what their columns matter.
struct ImportanceMatches {
    Model model;
    std::size_t weighed = 0;               ///< tensors that found their entry
    std::vector<std::string> warnings {};  ///< plain sentences: tensors without an entry, entries of another width
};

/// Finds the entry of each of `tensors` (indices), whichever world names are from: that of its own name, else of the
/// name that GGUF gives it. An expert that is stored by itself takes its slice of the stack's entry.
ImportanceMatches matchImportance(
    const Model& model, const ImportanceMatrix& matrix, std::span<const std::size_t> tensors);

}  // namespace quantloupe
