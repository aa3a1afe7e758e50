// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/model/catalog.h"

#include <string>
#include <string_view>
#include <vector>

namespace quantloupe {

/// Whether a glob holds a wildcard, and so can name more than one tensor.
bool hasWildcard(std::string_view pattern);

/// The name with every part that is a number replaced by `*`: the tensors that play one role in all blocks share it.
std::string familyPattern(std::string_view tensorName);

/// Globs that together match every tensor marked in `wanted` and none marked in `forbidden` (tensors marked in neither
/// do not care). Role families, block decades and whole blocks are tried first, widest first; what is left is named.
/// All three vectors run over the model's tensors. Deterministic.
std::vector<std::string> coveringGlobs(
    const ModelCatalog& model, const std::vector<char>& wanted, const std::vector<char>& forbidden);

}  // namespace quantloupe
