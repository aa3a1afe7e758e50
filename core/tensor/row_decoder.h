// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/mapped_file.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace quantloupe {

/// Gives the rows of a weight that is not plain rows of one dtype: codes, scales and zero points in several stored
/// tensors, or elements at strides of their own. Made by a reader, which has checked everything about the bytes before;
/// holds what keeps them alive.
class RowDecoder
{
public:
    virtual ~RowDecoder() = default;

    /// Rows [firstRow, firstRow + rowCount) of matrixShape(view) as float32. Called by several threads at once.
    virtual void decodeRows(std::uint64_t firstRow, std::uint64_t rowCount, std::span<float> out) const = 0;

    /// Tells the kernel that the bytes have been used up, as releaseBytes().
    virtual void release() const { }

    /// All it decodes from, for fingerprints. Empty: the bytes of its view.
    virtual std::vector<Bytes> storedBytes() const { return {}; }

    /// How the weight is stored, for people: "GPTQ int4:g128:asym". Empty: as the dtype says.
    virtual std::string description() const { return {}; }
};

}  // namespace quantloupe
