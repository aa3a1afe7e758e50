// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/simd_target.h"

#include <hwy/targets.h>

namespace quantloupe {

std::string_view simdTarget()
{
    // Lower bits are better targets: the dispatch takes the lowest that is both compiled in and supported.
    const auto usable = hwy::SupportedTargets() & HWY_TARGETS;
    return hwy::TargetName(usable & -usable);
}

}  // namespace quantloupe
