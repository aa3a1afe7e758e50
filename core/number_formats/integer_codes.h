// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/kernels/integer_grid.h"
#include "core/schemes/scheme.h"

namespace quantloupe {

/// Which codes an integer scheme uses, and what the zero of its grids means. @pre isInteger(scheme.format)
inline kernels::IntegerCodes integerCodesOf(const Scheme& scheme)
{
    return {scheme.symmetry == Symmetry::Symmetric ? 1.0F : 0.0F,
        static_cast<float>((1U << static_cast<unsigned>(codeBits(scheme.format))) - 1U),
        scheme.symmetry == Symmetry::AsymmetricFloat};
}

}  // namespace quantloupe
