// SPDX-License-Identifier: GPL-3.0-or-later
// What the readers share: side files, and what is found out about a model once its tensors are listed.
#pragma once

#include "core/file_formats/file_format.h"

#include <string>
#include <string_view>
#include <vector>

namespace quantloupe {

/// What a file is that people try to open although no reader is for it, as a clause; empty when not known.
std::string_view foreignKind(Bytes head);

/// Likewise, of files that only their names tell of.
std::string_view foreignKindByName(std::string_view name);

/// Maps a file that another file names. The name must be plain (no folder, no "..", at most 255 bytes); a symbolic link
/// is followed once, because download caches keep shards as links. `where` and `offset` say who names it. Errors:
/// Malformed (the name), CannotOpen, each saying which file is named.
Result<MappedFilePointer> openBeside(
    const std::filesystem::path& folder, std::string_view name, const std::string& where, std::uint64_t offset);

/// Maps a file that another file names by a path below its folder: components as above, with "/" between them ("./" may
/// come first), no symbolic links, no second names. Errors: as openBeside().
Result<MappedFilePointer> openBelow(
    const std::filesystem::path& folder, std::string_view path, const std::string& where, std::uint64_t offset);

/// Reads config.json beside the model, if there is one, into `model`: figures, tied embeddings, the storage order of
/// GPT-2's matrices. Whatever is wrong with it becomes a warning. @pre the tensors are listed
void applyConfigBeside(Model& model, const std::filesystem::path& folder);

/// Last step of every reader: refuses tensors that occur twice, joins the parts of packed weights, drops fused groups
/// of one, adds warnings, computes the fingerprint. Errors: Malformed, CannotOpen (a file shrank meanwhile).
Result<void> completeModel(Model& model);

/// Indices of the tensors in the order of their names.
std::vector<std::size_t> orderByName(const std::vector<ModelTensor>& tensors);

/// "a, b, c and 4 more" for messages.
std::string listed(const std::vector<std::string>& names);

}  // namespace quantloupe
