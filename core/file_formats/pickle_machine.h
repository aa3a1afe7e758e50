// SPDX-License-Identifier: GPL-3.0-or-later
// Reads pickles of PyTorch without Python, and without what makes pickles dangerous: nothing that a pickle names is
// imported or called. Calls that rebuild tensors are recognised by name and checked; others are refused.
#pragma once

#include "core/file_formats/pickle_values.h"

namespace quantloupe {

struct Pickle {
    PickleHeap heap;
    PickleRef top = 0;      ///< the object
    std::uint64_t end = 0;  ///< first byte behind it, from that of the pickle
};

/// Reads one pickle from the start of `bytes`, which must outlive it; `base` is where they begin in the file that
/// `where` names. Takes time and memory in proportion to the bytes. Errors: Truncated; Malformed; Unsupported for calls
/// of classes that are not known, for functions that run code wherever one is named, and beyond 50 million operations,
/// 20 million values, a million values on the stack. Source: interop notes, sections 5.2 to 5.4.
Result<Pickle> readPickle(Bytes bytes, const std::string& where, std::uint64_t base);

}  // namespace quantloupe
