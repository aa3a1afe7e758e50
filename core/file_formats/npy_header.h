// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/tensor/tensor_view.h"

#include <string>

namespace quantloupe {

/// What stands in front of the elements of a NumPy array.
struct NpyHeader {
    DType dtype = DType::F32;
    Shape shape {};
    bool swapped = false;         ///< most significant byte first
    bool fortranOrder = false;    ///< first index fastest
    std::uint64_t dataBegin = 0;  ///< first byte of the elements, from that of the header
};

/// The longest header that is read, everything before the elements counted: NumPy's own limit.
inline constexpr std::uint64_t kMaxNpyHeader = 10'012;

/// Reads the header at the start of `head`, of an array of `size` bytes in all; `head` holds kMaxNpyHeader of them, or
/// all. `base` is where the array begins in the file that `where` names. Errors: Truncated; Malformed, also for another
/// size than the elements have; Unsupported for arrays that hold no numbers: Python objects, which are pickles and
/// never loaded, texts, records. Source: interop notes, section 7.
Result<NpyHeader> readNpyHeader(Bytes head, std::uint64_t size, const std::string& where, std::uint64_t base);

/// Elements from one index to the next, per extent.
std::vector<std::uint64_t> npyStrides(const NpyHeader& header);

}  // namespace quantloupe
