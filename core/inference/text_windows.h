// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace quantloupe {

/// Tokens [begin, begin + length) of a text, seen by themselves. Predictions from position `firstScored` on count, up
/// to that of the window's last token.
struct TokenWindow {
    std::size_t begin = 0, length = 0, firstScored = 0;

    std::size_t scored() const { return length - 1 - firstScored; }
    bool operator==(const TokenWindow&) const = default;
};

/// A text as tokens, and the windows it is read in.
struct WindowedText {
    std::vector<std::uint32_t> tokens {};
    std::optional<std::uint32_t> firstToken {};  ///< stands in each window's first place, whatever the text has there
    std::vector<TokenWindow> windows {};
    /// So many windows, from the first on, are what a runtime computes in one call. It makes a difference to
    /// activations that are quantized by what else is there.
    std::size_t windowsPerCall = 1;

    std::uint32_t token(const TokenWindow& window, std::size_t position) const
    {
        return position == 0 && firstToken ? *firstToken : tokens[window.begin + position];
    }
    std::size_t scored() const;
};

/// Cuts windows of `context` tokens. Without a stride they do not overlap, the second half of each is scored, and what
/// does not fill a window is left out: the procedure of llama.cpp's perplexity program. With one they begin `stride`
/// tokens apart and score what no window before them has scored, to the text's end.
/// Errors: InvalidArgument (a text shorter than one window, a context below 3, a stride of 0 or above the context).
Result<WindowedText> cutWindows(std::vector<std::uint32_t> tokens, std::optional<std::uint32_t> firstToken,
    std::size_t context, std::optional<std::size_t> stride);

}  // namespace quantloupe
