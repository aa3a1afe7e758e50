// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/model/hold_readable.h"

#include <utility>

namespace quantloupe {

Result<HeldBytes> holdReadable(const ModelTensor& tensor, std::stop_token stop)
{
    if (!tensor.view.decodable())
        return failure(ErrorCode::Unsupported, tensor.name,
            "weights of type " + std::string(nameOf(tensor.view.dtype)) + " cannot be decoded yet");
    if (tensor.view.owner && tensor.view.owner->hasShrunk())
        return failure(ErrorCode::Truncated, tensor.view.owner->path().string(),
            "became shorter after it was opened: the weights of " + tensor.name + " may be gone");
    return holdBytes(tensor.view, std::move(stop));
}

}  // namespace quantloupe
