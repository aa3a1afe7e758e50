// SPDX-License-Identifier: GPL-3.0-or-later
// The payload of a journal's record, behind the checksum that a fuzzer cannot guess.
#include "core/study/record_codec.h"

#include <cstdlib>

using namespace quantloupe;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const auto bytes = std::as_bytes(std::span(data, size));
    if (const auto measurement = decodeMeasurement(bytes))
        if (!decodeMeasurement(encodeMeasurement(*measurement)))
            std::abort();
    return 0;
}
