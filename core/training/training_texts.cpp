// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/training/training_texts.h"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace quantloupe {

WindowedText scoredWhole(WindowedText text)
{
    for (auto& window : text.windows)
        window.firstScored = 0;
    return text;
}

Result<TrainingTexts> holdOut(WindowedText text, unsigned percent)
{
    const auto count = text.windows.size();
    if (percent == 0 || percent > 99)
        return failure(ErrorCode::InvalidArgument, "held-out text", "a share of 1 to 99 percent can be held out");
    if (count < 2)
        return failure(ErrorCode::InvalidArgument, "text",
            "is one window of tokens: a longer one is needed to train on and to hold some of it out");
    const auto kept = count - std::max<std::size_t>(1, count * percent / 100);
    TrainingTexts texts {.text = text, .heldOut = std::move(text)};
    texts.text.windows.resize(kept);
    auto& judged = texts.heldOut.windows;
    judged.erase(judged.begin(), judged.begin() + static_cast<std::ptrdiff_t>(kept));
    return texts;
}

}  // namespace quantloupe
