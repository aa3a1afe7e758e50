// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace quantloupe {

/// What was summed up for one weight, or for a stack of matrices, one for each expert.
struct ImportanceEntry {
    std::string name;               ///< of the weight, in whatever naming world
    std::vector<float> squares {};  ///< Σ of squared activations by input column, matrix after matrix; finite, ≥ 0
    /// Activations summed up, by matrix; finite, ≥ 0. One for all where the file does not tell matrices apart.
    std::vector<float> counts {};
    /// Input columns; 0 where the file does not say (the legacy form of a stack looks like one long row).
    std::uint64_t columns = 0;

    /// Mean square of each column's activations, matrix after matrix; 1 for all columns of a matrix that saw none.
    std::vector<float> means() const;

    bool operator==(const ImportanceEntry&) const = default;
};

/// llama.cpp's importance matrix: what its quantizer weighs errors by, collected by running the model on text.
/// Source: interop notes, section 3.10.
struct ImportanceMatrix {
    std::vector<ImportanceEntry> entries;       ///< in file order, names distinct
    std::vector<std::string> datasets {};       ///< names of the texts, as far as the file says
    std::optional<std::uint64_t> chunks {};     ///< pieces of text, as far as the file says
    std::optional<std::uint64_t> chunkSize {};  ///< tokens in a piece, as far as the file says
    bool legacy = false;                        ///< the form before GGUF, usually *.dat

    bool operator==(const ImportanceMatrix&) const = default;
};

/// Reads either form, checking every length and every number. Errors: CannotOpen, NotThisFormat (a GGUF file of another
/// kind, or no entries at all), Truncated, Malformed, Unsupported (GGUF versions).
Result<ImportanceMatrix> readImportanceMatrix(const std::filesystem::path& path);

/// Writes the GGUF form, as a whole or not at all. Unknown chunk counts are written as 0.
/// Errors: CannotWrite, InvalidArgument (a name of more than 54 bytes, an entry whose columns are not known or do not
/// fit its numbers).
Result<void> writeImportanceMatrix(const std::filesystem::path& path, const ImportanceMatrix& matrix);

}  // namespace quantloupe
