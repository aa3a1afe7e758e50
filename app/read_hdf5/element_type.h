// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/study/hdf5_handles.h"
#include "core/tensor/dtype.h"

#include <optional>

namespace quantloupe::read_hdf5 {

/// How the elements of a dataset are numbers of ours.
struct ElementType {
    DType dtype = DType::F32;
    std::size_t bytes = 0;     ///< of one element
    bool littleEndian = true;  ///< as stored
    hdf5::Type memory;         ///< the same type, little-endian: what to read them as
};

/// The element type of a dataset; nullopt when elements are no plain numbers (texts, compounds, floats of other
/// widths). Keras keeps bfloat16 as two bytes of whatever kind with an attribute `dtype` that says so: `brainFloat`.
std::optional<ElementType> elementTypeOf(hid_t stored, bool brainFloat);

}  // namespace quantloupe::read_hdf5
