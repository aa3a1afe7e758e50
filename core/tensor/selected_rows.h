// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/tensor/tensor_view.h"

#include <cstdint>
#include <vector>

namespace quantloupe {

/// These rows of a matrix, in this order, as a matrix of its own: [rows.size(), columns]. They are decoded from the
/// bytes of `view`, which the result keeps alive; its byte size is the rows' share. @pre view.decodable(), the rows
/// exist
TensorView selectRows(const TensorView& view, std::vector<std::uint64_t> rows);

}  // namespace quantloupe
