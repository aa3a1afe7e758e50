// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/inference/text_windows.h"

#include <cstddef>
#include <span>

namespace quantloupe {

/// Some windows of a text, with their tokens alone.
WindowedText someWindows(const WindowedText& text, std::span<const std::size_t> windows);

/// What every training asks of its texts. Errors: InvalidArgument (one of them has no predictions).
Result<void> requirePredictions(const WindowedText& text, const WindowedText& heldOut);

}  // namespace quantloupe
