// SPDX-License-Identifier: GPL-3.0-or-later
// How ggml's types hold what schemes make of weights. For use inside this room.
#pragma once

#include "core/checkpoints/checkpoint_draft.h"

#include <string>
#include <vector>

namespace quantloupe {

/// What a weight becomes in GGUF.
struct GgmlStorage {
    DType type = DType::F32;
    Scheme scheme {};       ///< whose codes are written
    std::string reason {};  ///< why that is not quite what the recipe says; empty where it is
};

/// ggml's own formats where a row fills their blocks. Integers of 4, 5, 7 and 8 bits with FP16 scales, mxfp4: their
/// very codes, where each block of 32 lies inside one of their groups. Of everything else the nearest type.
/// Errors: Unsupported, naming what GGUF has nothing for.
Result<GgmlStorage> ggmlStorageFor(const std::string& tensor, const Scheme& scheme, std::uint64_t columns);

/// Packs rows as blocks of that type into the stored tensor, behind `firstRow`; `places`: of each row its place there,
/// empty: in order.
RowPacker ggmlPacker(
    std::size_t stored, const GgmlStorage& storage, std::uint64_t firstRow, std::vector<std::uint64_t> places);

/// general.file_type of a file most of whose weights have this type. Source: interop notes, section 3.7.
std::uint32_t ggmlFileTypeNumber(DType type);

}  // namespace quantloupe
