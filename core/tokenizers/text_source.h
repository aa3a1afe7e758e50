// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"

#include <filesystem>
#include <string>
#include <vector>

namespace quantloupe {

/// Text to evaluate or to calibrate with.
struct TextSource {
    std::vector<std::string> documents;  ///< in file order; each well-formed UTF-8 and not empty

    std::size_t bytes() const;
};

/// Reads a plain UTF-8 text as one document, or a file of JSON lines (*.jsonl, *.ndjson) as one document for every
/// object, its member `text`. A byte order mark, empty lines and empty documents are skipped.
/// Errors: CannotOpen; Malformed with the byte: no text at all, no UTF-8, a line that is no JSON object or has no
/// `text`; Unsupported above 1 GiB.
Result<TextSource> readTextSource(const std::filesystem::path& path);

}  // namespace quantloupe
