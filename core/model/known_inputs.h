// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>

namespace quantloupe {

struct LayerCurvature;
struct LayerInputs;

/// What running the model on text taught about the inputs of the layers that a tensor holds. Their moments can take
/// gigabytes: they are loaded when asked for.
struct KnownInputs {
    std::uint64_t fingerprint = 0;  ///< of all that is known; never 0
    std::uint64_t slices = 1;       ///< equal runs of rows with inputs of their own: 1, or the experts of a stack
    /// Those of one slice. Errors: those of reading them, Cancelled. Safe to call from any thread.
    std::function<Result<std::shared_ptr<const LayerInputs>>(std::uint64_t slice, const std::stop_token& stop)> load {};
    /// What a backward pass taught of one slice; null where it taught nothing of it. Empty: there was none. As `load`.
    std::function<Result<std::shared_ptr<const LayerCurvature>>(std::uint64_t slice, const std::stop_token& stop)>
        loadCurvature {};
};
using KnownInputsPointer = std::shared_ptr<const KnownInputs>;

}  // namespace quantloupe
