// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/model/model.h"

#include <string>
#include <vector>

namespace quantloupe {

/// What tells a model from others: XXH3-128 over names, dtypes, shapes and stored bytes. In the order of names, so that
/// a checkpoint has the same one whole or in shards. A model of up to 64 MiB is read as a whole. Of a larger one,
/// tensors of up to 32 KiB as a whole, the first and last 4 KiB of others, and 4,096 pieces of 4 KiB at even distances
/// over all bytes: an edit that is shorter than 1/4096 of the model may lie between them. Reads 160 MiB at most,
/// whatever the size. `order`: as orderByName(). @pre none of the files has shrunk
std::string fingerprintOf(const Model& model, const std::vector<std::size_t>& order);

}  // namespace quantloupe
