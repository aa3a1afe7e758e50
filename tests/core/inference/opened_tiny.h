// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/inference/decoder.h"
#include "tests/core/inference/tiny_decoder.h"

namespace quantloupe::tests {

/// A tiny decoder as a program has it: written, opened and described. Throws where one of these fails.
struct OpenedTiny {
    explicit OpenedTiny(const TinyDecoder& tiny)
        : model(openTiny(tiny, folder.path().toStdString()).value())
        , decoder(describeDecoder(*model).value())
    {
    }

    QTemporaryDir folder;
    ModelPointer model;
    Decoder decoder;
};

}  // namespace quantloupe::tests
