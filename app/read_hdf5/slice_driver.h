// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/study/hdf5_handles.h"

#include <cstdint>

namespace quantloupe::read_hdf5 {

/// An HDF5 file that is a part of an open file: all of it, or a stored member of an archive.
struct Slice {
    int descriptor = -1;
    std::uint64_t begin = 0;  ///< bytes from the start of the open file
    std::uint64_t size = 0;
};

/// Opens it with a driver of our own, which reads by the descriptor: the library opens nothing itself, and does not
/// read past the end. Invalid when it is no HDF5 file; the library's error stack says why.
hdf5::File openSlice(const Slice& slice);

}  // namespace quantloupe::read_hdf5
