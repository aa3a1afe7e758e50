// SPDX-License-Identifier: GPL-3.0-or-later
// What the targets have in common: order, exact regular expressions, quoting, short lists of names.
#pragma once

#include "core/export_targets/export_target.h"

#include <string>
#include <string_view>
#include <vector>

namespace quantloupe {

/// Indices of the plan's tensors from input to output: embedding, blocks by number and role, the rest. The same order
/// in every file, so that two exports compare line by line.
std::vector<std::size_t> emissionOrder(const ModelCatalog& model);

/// Every character that means something in a regular expression (ECMAScript and Python) gets a backslash.
std::string escapeRegex(std::string_view text);

/// Regular expressions, without anchors, that match exactly the given names and no other, in order of appearance.
/// Names that differ only in their first two numbers share one: `blk\.(0|1|5)\.ffn_down\.weight`.
std::vector<std::string> exactRegexes(const std::vector<std::string>& names);

/// One word for a POSIX shell, in single quotes where it needs them.
std::string shellQuoted(std::string_view word);

/// Whether a name consists of the characters that every tool's command line and file takes: A–Z a–z 0–9 _ . / : -
bool isPlainName(std::string_view name);

/// "a, b, c and 17 more"
std::string shortList(const std::vector<std::string>& names);

/// The native recipe, which every export carries, so that it can be made again.
ExportedFile planFile(const Recipe& recipe);

}  // namespace quantloupe
