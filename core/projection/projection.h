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
    std::uint64_t context = 4096;  ///< tokens held in the KV cache
    std::uint64_t batch = 1;       ///< sequences decoded together
    double keyValueBits = 16.0;    ///< bits per cached value, scales included
    bool operator==(const Workload&) const = default;
};

/// The workload with the KV cache as the recipe stores it, where it says so: bits per cached value under a scheme whose
/// groups run along one token's keys or values.
Workload workloadUnder(const Recipe& recipe, const ModelCatalog& model, Workload workload);

/// One operation of the decode step on the roofline.
struct RooflinePoint {
    std::string name;         ///< "attention weights", "mlp weights", "lm_head", "kv cache", …
    double operations = 0.0;  ///< per token batch
    double bytes = 0.0;       ///< moved from memory
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
    double decodeTokensPerSecond = 0.0;  ///< of the whole batch
    double energyPerToken = 0.0;         ///< joules, decode
    bool decodeMemoryBound = true, prefillMemoryBound = true;
    std::vector<RooflinePoint> decodeOperations;
    /// What could not be known and was assumed, as plain sentences ("head count unknown: KV cache left out").
    std::vector<std::string> assumptions;

    std::uint64_t totalBytes() const { return weightsBytes + keyValueBytes + activationBytes; }
};

/// Bytes of the KV cache: 2 · layers · KV heads · head size · tokens · sequences · bits / 8, tokens capped by a sliding
/// window. Models that cache one compressed vector per token and layer (multi-head latent attention) are counted so.
/// Activation bytes: the larger working set of one block while a whole prompt of `context` tokens runs through at two
/// bytes a value, plus the logits in FP32:
///     2 · tokens · (2 · hidden + max(query + 2 · key/value, 2 · mlp)) + 4 · batch · vocabulary
/// with mlp = max(intermediate, expert intermediate · experts per token)
/// (attention scores are never stored whole, as in FlashAttention, Dao et al., NeurIPS 2022).
///
/// Roofline: seconds of an operation = max(bytes / bandwidth, operations / rate), both derated by the profile's
/// efficiencies, summed over the operations of a step. Source: Williams, Waterman and Patterson, CACM 52(4), 2009.
/// Weight-only schemes are computed at FP16 after decoding; W8A8 and FP8 at their own rates. Of a mixture, a step of b
/// tokens reads E·(1 − (1 − k/E)^b) of its E experts when each token picks k at random.
/// Energy: bytes · energy per byte + operations · energy per operation + seconds · idle power.
/// What the configuration does not say is taken from tensor shapes; what these do not say either is in `assumptions`.
Projection project(const ModelCatalog& model, const Plan& plan, const DeviceProfile& device, const Workload& workload);

/// The plan that keeps everything as stored: the base of every comparison.
Plan unquantizedPlan(const ModelCatalog& model);

}  // namespace quantloupe
