// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/calibration/model_text.h"

#include "core/tokenizers/text_source.h"
#include "core/tokenizers/tokenizer.h"

#include <algorithm>
#include <utility>

namespace quantloupe {

Result<WindowedText> readModelText(const Model& model, const std::filesystem::path& file, const TextWindows& windows)
{
    const auto tokenizer = openTokenizer(model);
    if (!tokenizer)
        return tl::unexpected(tokenizer.error());
    const auto text = readTextSource(file);
    if (!text)
        return tl::unexpected(text.error());
    std::vector<std::uint32_t> tokens;
    for (const auto& document : text->documents) {
        const auto own = (*tokenizer)->encode(document, true);
        tokens.insert(tokens.end(), own.begin(), own.end());
    }
    tokens.resize(tokens.size() - (*tokenizer)->suffix().size());  // the text goes on beyond every window
    if (windows.tokens)
        tokens.resize(std::min(tokens.size(), *windows.tokens));
    const auto prefix = (*tokenizer)->prefix();
    auto cut = cutWindows(std::move(tokens), prefix.empty() ? std::nullopt : std::optional(prefix.front()),
        windows.context, windows.stride);
    if (cut)
        cut->windowsPerCall = windows.batch;
    return cut;
}

}  // namespace quantloupe
