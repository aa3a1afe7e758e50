// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/base/progress.h"
#include "core/model/model.h"
#include "core/schemes/scheme.h"
#include "core/statistics/error_statistics.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace quantloupe {

/// What became of a tensor in somebody's quantized checkpoint.
enum class AuditVerdict : std::uint8_t {
    Quantized,   ///< stored in fewer than 16 bits, and close to the original
    Kept,        ///< floats of 16 bits or more, or stored as in the original: the same but for their rounding
    Different,   ///< further from the original than its storage explains
    Unreadable,  ///< one of both cannot be decoded
};
/// "quantized", "kept", "different", "unreadable".
std::string_view nameOf(AuditVerdict verdict);

struct FactorRange {
    float least = 1.0F, most = 1.0F;
    bool operator==(const FactorRange&) const = default;
};

/// By what a quantizer multiplied channels before it rounded (AWQ, SmoothQuant, equalization), found by least squares.
struct RescaledChannels {
    FactorRange rows {}, columns {};  ///< output and input channels
    bool operator==(const RescaledChannels&) const = default;
};

/// The best that our schemes do to a tensor in no more bits, measured on the same rows.
struct BestScheme {
    Scheme scheme {};
    double bitsPerWeight = 0.0;
    double sqnrDb = 0.0;         ///< of the scheme
    double auditedSqnrDb = 0.0;  ///< of the checkpoint
    std::uint64_t measuredRows = 0, rows = 0;

    double gain() const { return sqnrDb - auditedSqnrDb; }  ///< dB
    bool operator==(const BestScheme&) const = default;
};

/// One tensor of the original beside its counterpart; or a part of one, where only one of the checkpoints fuses it.
struct AuditedTensor {
    std::string original {}, quantized {};  ///< names
    NameParts parts {};                     ///< of the original
    MatrixShape shape {};                   ///< of the rows compared
    DType originalType = DType::F32;
    std::string storedAs {};           ///< packing, else the dtype's name
    std::uint64_t bytes = 0;           ///< of these rows as stored there
    double bitsPerWeight = 0.0;        ///< as stored there, scales and padding included
    std::uint64_t originalBytes = 0;   ///< of these rows in the original
    bool quantizable = false;          ///< the original is a weight matrix, not a norm or bias
    bool rotaryRowsReordered = false;  ///< compared row by row in the other order of attention heads
    float added = 0.0F;                ///< to each original weight there: Gemma's norms in GGUF hold 1 more
    /// Where channels had been multiplied: of a matrix, `error` is that without the factors; a norm that has the
    /// inverse of those behind it counts as kept.
    std::optional<RescaledChannels> rescaled {};
    /// Of the checkpoint's values against the original's; clipped is not known.
    ErrorStatistics error {};
    AuditVerdict verdict = AuditVerdict::Kept;
    std::string note {};  ///< why, where it is different or unreadable: a clause
    std::optional<BestScheme> best {};

    bool operator==(const AuditedTensor&) const = default;
};

struct AuditMismatch {
    std::string original {}, quantized {};
    Shape originalShape {}, quantizedShape {};
    bool operator==(const AuditMismatch&) const = default;
};

struct Audit {
    std::vector<AuditedTensor> tensors {};  ///< in the original's order
    std::vector<AuditMismatch> mismatched {};
    std::vector<std::string> missing {};  ///< in the checkpoint
    std::vector<std::string> extra {};    ///< that the original does not have

    std::size_t count(AuditVerdict verdict) const;
    /// Weight matrices that were kept in 16 bits or more although the checkpoint is quantized.
    std::size_t leftUnquantized() const;
    /// Of all readable weight matrices together.
    ErrorStatistics weightError() const;
    /// Their bytes as stored there × 8 / weights; NaN of none.
    double bitsPerWeight() const;
    /// Nothing is missing, extra, different, unreadable or of another shape.
    bool isClean() const;
};

struct AuditOptions {
    unsigned threads = 0;  ///< 0: all the process may use
    /// Which tensors of the original; empty: all.
    std::function<bool(const std::string&)> wants {};
    bool compareWithSchemes = true;  ///< fills in AuditedTensor::best
};

constexpr std::uint64_t mostWeightsForBestScheme = std::uint64_t {1} << 20U;

/// Compares somebody's quantized checkpoint with its original, tensor by tensor, whatever the formats: names of both
/// worlds, fused and split matrices, stacked experts, and q and k in the other rotary order, which is found by trying
/// it. Nothing is kept in memory but tiles. The bits of the figures do not depend on the number of threads.
/// Errors: Cancelled, Truncated, those of holdBytes(); Conflict when no tensor of one is in the other.
Result<Audit> audit(const Model& original, const Model& quantized, const AuditOptions& options, std::stop_token stop,
    Progress& progress);

}  // namespace quantloupe
