// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/model/model.h"

#include <stop_token>

namespace quantloupe {

/// Makes a tensor readable for as long as what is returned lives. Errors: Unsupported when its dtype cannot be decoded,
/// Truncated when its file has become shorter since it was opened (reading a mapping beyond its file's end would end
/// the program), those of holdBytes().
Result<HeldBytes> holdReadable(const ModelTensor& tensor, std::stop_token stop);

}  // namespace quantloupe
