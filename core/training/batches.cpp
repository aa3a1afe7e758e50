// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/training/batches.h"

namespace quantloupe {

WindowedText someWindows(const WindowedText& text, std::span<const std::size_t> windows)
{
    WindowedText some {.firstToken = text.firstToken};
    for (const auto index : windows) {
        auto window = text.windows[index];
        const auto begin = text.tokens.begin() + static_cast<std::ptrdiff_t>(window.begin);
        window.begin = some.tokens.size();
        some.tokens.insert(some.tokens.end(), begin, begin + static_cast<std::ptrdiff_t>(window.length));
        some.windows.push_back(window);
    }
    return some;
}

}  // namespace quantloupe
