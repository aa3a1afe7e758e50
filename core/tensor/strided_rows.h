// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/tensor/tensor_view.h"

namespace quantloupe {

/// Whether the strides are those of row-major elements one after the other. Those of extents of one do not matter.
bool isContiguous(const Shape& shape, const std::vector<std::uint64_t>& strides);

/// Elements from the first to the last that strides reach: 0 for an empty tensor, nullopt on overflow.
/// @pre as many strides as extents
std::optional<std::uint64_t> strideExtent(const Shape& shape, const std::vector<std::uint64_t>& strides);

/// Gives a view a decoder where its elements are not row-major, or have their most significant byte first (`swapped`);
/// otherwise leaves it as it is. `view` says where they are: the first at the start of its `bytes`, or of its
/// `deferred`. Strides are in elements, one per extent; 0 repeats. @pre strideExtent() elements lie there; the rest of
/// the view is final, except for `convolution`; a transposed one has rank 2
void setStrides(TensorView& view, std::vector<std::uint64_t> strides, bool swapped = false);

}  // namespace quantloupe
