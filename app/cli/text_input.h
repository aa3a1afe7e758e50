// SPDX-License-Identifier: GPL-3.0-or-later
// The text that a model is run on: read, made into tokens and cut into windows.
#pragma once

#include "app/cli/session.h"

#include "core/calibration/model_text.h"
#include "core/model/model.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace quantloupe::cli {

/// --context.
void addContextOption(CLI::App& command, TextWindows& options);

/// --memory, in bytes.
void addMemoryOption(CLI::App& command, std::uint64_t& memory);

/// Windows of a file's text, each begun with BOS where the model has one. Warns when they are longer than those that
/// the model was made for. Errors: those of openTokenizer(), readTextSource() and cutWindows().
Result<WindowedText> readWindows(
    const Session& session, const Model& model, const std::string& file, const TextWindows& options);

/// An error of a wish that cannot be met, named by the option that made it.
Error namedByOption(Error error, const std::string& textFile);

}  // namespace quantloupe::cli
