// SPDX-License-Identifier: GPL-3.0-or-later
// How a helper program answers: records on its standard output, each a header and its bytes.
#pragma once

#include <cstdint>

namespace quantloupe {

/// As it lies in the pipe, between two programs of one machine.
struct HelperRecordHeader {
    std::uint32_t kind;   ///< means what the two agree on
    std::uint32_t bytes;  ///< that follow
};

/// The descriptor that a helper finds its file under, open for reading.
constexpr int kHelperInput = 3;

}  // namespace quantloupe
