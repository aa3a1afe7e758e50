// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/model/model.h"

#include <cstdint>
#include <vector>

namespace quantloupe {

/// Rows of a tensor of one checkpoint, and those of another that hold the same weights. Of tensors that both keep alike
/// all rows; where one fuses what the other splits (q, k and v; gate and up; the experts of a stack), a part of the
/// larger tensor.
struct Correspondence {
    std::size_t original = 0, other = 0;  ///< indices into Model::tensors
    std::uint64_t firstRow = 0, otherFirstRow = 0, rows = 0;

    bool operator==(const Correspondence&) const = default;
};

/// Tensors of the same name whose matrices do not fit each other.
struct ShapeMismatch {
    std::size_t original = 0, other = 0;
    bool operator==(const ShapeMismatch&) const = default;
};

struct ModelCorrespondence {
    std::vector<Correspondence> pairs;  ///< in the order of the original's tensors
    std::vector<ShapeMismatch> mismatched;
    std::vector<std::size_t> missing;  ///< tensors of the original without counterpart
    std::vector<std::size_t> extra;    ///< tensors of the other without one
};

/// Finds each tensor of `original` in `other`, by its name in either naming world. An output head that one of them
/// stores and the other ties to the embedding is compared with the embedding. The order of rows within attention heads,
/// in which the worlds differ, is not looked at. Source: interop notes on recipes, section 1.6.
ModelCorrespondence findCorrespondence(const Model& original, const Model& other);

}  // namespace quantloupe
