// SPDX-License-Identifier: GPL-3.0-or-later
// GGUF version 3 as bytes. Source: interop notes on checkpoints, section 2. For use inside this room.
#pragma once

#include "core/checkpoints/checkpoint_draft.h"
#include "core/file_formats/gguf_header.h"

#include <concepts>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace quantloupe {

/// A metadata key with its value as it lies in the file, type first.
struct GgufField {
    std::string key;
    std::string encoded;
};

GgufField ggufText(std::string key, std::string_view text);
GgufField ggufBool(std::string key, bool value);
GgufField ggufWhole(std::string key, std::uint64_t value);  ///< u32
GgufField ggufReal(std::string key, double value);          ///< f32
GgufField ggufTexts(std::string key, const std::vector<std::string>& texts);
GgufField ggufReals(std::string key, const std::vector<float>& values);
GgufField ggufWholes(std::string key, const std::vector<std::int32_t>& values);
/// The same value as another file has it.
GgufField ggufCopy(const GgufEntry& entry);

/// All metadata in order, each key once.
class GgufFields
{
public:
    /// Replaces the field of this key in its place, or adds it at the end.
    void set(GgufField field);
    const std::vector<GgufField>& all() const { return m_fields; }

private:
    std::vector<GgufField> m_fields {};
};

/// Places the stored tensors, in their order, in the one file of the draft. Errors: Unsupported (names longer than 63
/// bytes, types that GGUF does not have, more than four extents).
Result<void> layOutGguf(CheckpointDraft& draft, const GgufFields& metadata, std::uint64_t alignment);

}  // namespace quantloupe
