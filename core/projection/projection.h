// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/projection/device.h"
#include "core/recipes/plan.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace quantloupe {

/// How the model is to be run.
struct Workload {
    std::uint64_t context = 4096;     ///< tokens held in the KV cache
    std::uint64_t batch = 1;          ///< sequences decoded together
    double keyValueBits = 16.0;       ///< bits per cached value, scales included
    bool operator==(const Workload&) const = default;
};

/// One operation of the decode step on the roofline.
struct RooflinePoint {
    std::string name;             ///< "attention weights", "mlp weights", "lm_head", "kv cache", …
    double operations = 0.0;      ///< per token batch
    double bytes = 0.0;           ///< moved from memory
    double seconds = 0.0;
    bool memoryBound = true;
};

/// Projected cost of one plan on one device; nothing here was measured.
struct Projection {
    std::uint64_t weightsBytes = 0;
    std::uint64_t keyValueBytes = 0;
    std::uint64_t activationBytes = 0;
    bool fits = false;
    double prefillTokensPerSecond = 0.0;
    double decodeTokensPerSecond = 0.0;    ///< of the whole batch
    double energyPerToken = 0.0;           ///< joules, decode
    bool decodeMemoryBound = true, prefillMemoryBound = true;
    std::vector<RooflinePoint> decodeOperations;
    /// What could not be known and was assumed, as plain sentences ("head count unknown: KV cache left out").
    std::vector<std::string> assumptions;

    std::uint64_t totalBytes() const { return weightsBytes + keyValueBytes + activationBytes; }
};

/// Roofline: seconds of an operation = max(bytes / bandwidth, operations / rate), summed over the operations of a step.
/// `plan` absent: the checkpoint as stored. Source: Williams, Waterman and Patterson, CACM 52(4), 2009.
Projection project(const ModelCatalog& model, const Plan& plan, const DeviceProfile& device, const Workload& workload);

/// The plan that keeps everything as stored: the base of every comparison.
Plan unquantizedPlan(const ModelCatalog& model);

}  // namespace quantloupe
