// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/inference/text_windows.h"

#include <algorithm>
#include <string>
#include <utility>

namespace quantloupe {

std::size_t WindowedText::scored() const
{
    std::size_t sum = 0;
    for (const auto& window : windows)
        sum += window.scored();
    return sum;
}

Result<WindowedText> cutWindows(std::vector<std::uint32_t> tokens, std::optional<std::uint32_t> firstToken,
    std::size_t context, std::optional<std::size_t> stride)
{
    const auto count = tokens.size();
    WindowedText text {.tokens = std::move(tokens), .firstToken = firstToken};
    if (context < 3)
        return failure(ErrorCode::InvalidArgument, "context", "must be at least 3 tokens");
    if (stride && (*stride == 0 || *stride > context))
        return failure(ErrorCode::InvalidArgument, "stride", "must be from 1 to the context");
    if (stride ? count < 2 : count < context)
        return failure(ErrorCode::InvalidArgument, "text",
            "has " + std::to_string(count) + (count == 1 ? " token" : " tokens") + ", and a window takes "
                + std::to_string(stride ? 2 : context) + ": use a longer text or a shorter context");
    if (!stride) {
        for (std::size_t begin = 0; begin + context <= count; begin += context)
            text.windows.push_back({.begin = begin, .length = context, .firstScored = context / 2});
        return text;
    }
    std::size_t scoredTo = 0;  // tokens before it have been predicted, or never will be
    for (std::size_t begin = 0; scoredTo < count && begin + 1 < count; begin += *stride) {
        const auto end = std::min(begin + context, count);
        const auto target = std::max(scoredTo, begin + 1);
        text.windows.push_back({.begin = begin, .length = end - begin, .firstScored = target - 1 - begin});
        scoredTo = end;
    }
    return text;
}

}  // namespace quantloupe
