// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/workbench/text_reading.h"

#include "core/calibration/model_text.h"

#include <algorithm>
#include <utility>

quantloupe::Result<TextReading> TextReading::of(
    const quantloupe::Model& model, const std::filesystem::path& file, std::size_t tokens)
{
    auto decoder = quantloupe::describeDecoder(model);
    if (!decoder)
        return tl::unexpected(decoder.error());
    quantloupe::TextWindows how {.tokens = tokens};
    how.context = std::min<std::size_t>(how.context, model.config.contextLength.value_or(how.context));
    auto windows = quantloupe::readModelText(model, file, how);
    if (!windows)
        return tl::unexpected(windows.error());
    return TextReading {std::move(*decoder), std::move(*windows)};
}
