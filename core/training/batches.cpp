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

Result<void> requirePredictions(const WindowedText& text, const WindowedText& heldOut)
{
    if (text.scored() == 0)
        return failure(ErrorCode::InvalidArgument, "text", "has no predictions to train on");
    if (heldOut.scored() == 0)
        return failure(ErrorCode::InvalidArgument, "held-out text", "has no predictions to judge by");
    return {};
}

}  // namespace quantloupe
