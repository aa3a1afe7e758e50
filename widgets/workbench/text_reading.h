// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/inference/decoder.h"
#include "core/inference/text_windows.h"
#include "core/model/model.h"

#include <cstddef>
#include <filesystem>

/// A model and a text made ready to run. Borrows the model.
struct TextReading {
    quantloupe::Decoder decoder;
    quantloupe::WindowedText windows;

    /// No more than the first `tokens`, in windows as long as the model was made for, at most 512. Errors: those of
    /// describeDecoder() and readModelText().
    static quantloupe::Result<TextReading> of(
        const quantloupe::Model& model, const std::filesystem::path& file, std::size_t tokens);
};
