// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string_view>

namespace quantloupe {

/// The instructions that the kernels use on this processor, as Highway names them: "AVX2", "SSE4", "SCALAR", …
std::string_view simdTarget();

}  // namespace quantloupe
