// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/allocation/allocation.h"
#include "core/projection/projection.h"

#include <cstdint>
#include <optional>

namespace quantloupe {

/// What an allocation may spend, as people say it.
struct AllocationBudget {
    enum class Kind : std::uint8_t {
        Size,           ///< bytes of the model's weights
        BitsPerWeight,  ///< of the whole model, over all its parameters
        DeviceMemory,   ///< bytes on a device, KV cache and activations among them
        StepTime,       ///< milliseconds of a decode step on a device, projected layer by layer
        Divergence,     ///< summed divergence, nats per token: fewest bytes
    };
    Kind kind = Kind::Size;
    double value = 0.0;
    std::optional<DeviceProfile> device {};  ///< DeviceMemory and StepTime need one
    Workload workload {};                    ///< with the cache as the recipe has it: workloadUnder()
};

/// The budget as a limit. `base`: the recipe whose activations stay, which decode steps depend on. Borrows the model.
/// Errors: InvalidArgument (cache and activations alone take the memory), naming the device. @pre a device where one is
/// needed
Result<AllocationLimit> limitOf(const AllocationBudget& budget, const ModelCatalog& model, const Recipe& base);

/// What the KV cache and the activations take on a device beside the weights. Bytes.
double memoryBesideWeights(const ModelCatalog& model, const DeviceProfile& device, const Workload& workload);

/// What a plan costs by a budget's own measure: bytes, bits per weight, bytes on the device, or milliseconds; of
/// divergences NaN, since those are measured: placeOf() adds them up.
double spentBy(const Plan& plan, const AllocationBudget& budget, const ModelCatalog& model);

}  // namespace quantloupe
