// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/inference/text_windows.h"
#include "core/model/model.h"

#include <cstddef>
#include <filesystem>
#include <optional>

namespace quantloupe {

/// How a text becomes what a model reads.
struct TextWindows {
    std::size_t context = 512;
    std::optional<std::size_t> stride {};
    std::optional<std::size_t> tokens {};  ///< no more than the first so many
    std::size_t batch = 1;                 ///< windows that a runtime computes in one call
};

/// Windows of a file's text by the model's own tokenizer, each begun with BOS where the model has one.
/// Errors: those of openTokenizer(), readTextSource() and cutWindows().
Result<WindowedText> readModelText(const Model& model, const std::filesystem::path& file, const TextWindows& windows);

}  // namespace quantloupe
