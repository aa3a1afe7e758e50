// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/base/progress.h"
#include "core/model/model.h"
#include "core/statistics/weight_statistics.h"
#include "core/study/measurement.h"

#include <cstdint>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

namespace quantloupe {

enum class CureKind : std::uint8_t {
    SmallerGroup,       ///< fewer weights share a scale
    OtherRange,         ///< the range of a unit by least squared error
    OtherSymmetry,      ///< full range, zero point or floating minimum
    MoreBits,           ///< the next wider format of the family
    OtherNumbers,       ///< other levels at about the same size
    Rotation,           ///< +hadamard
    Search,             ///< +hqq
    ChannelCorrection,  ///< +biascorr
    WiderRows,          ///< some output channels in int8:channel
    WiderColumns,       ///< some input channels in fp16
    InputAware,         ///< +gptq, +cd, +awq or +smooth: by what calibration knows of the layer's inputs
    AnotherScheme,      ///< one that was measured anyway
};

/// SQNR of a layer's outputs, E‖Wx‖² / E‖(W − Ŵ)x‖² in dB, before and after.
struct OutputGain {
    double before = 0.0, after = 0.0;
    bool operator==(const OutputGain&) const = default;
};

/// What another scheme does to a tensor in the place of the one it has: measured, never guessed.
struct Cure {
    CureKind kind = CureKind::AnotherScheme;
    Scheme scheme {};  ///< instead; of a mixture the one of all other channels: that of before
    /// Output or input channels that a mixture (WiderRows, WiderColumns) keeps wider, ascending; else empty. A
    /// mixture is a figure: no scheme notation says it.
    std::vector<std::uint64_t> kept {};
    double sqnrBefore = 0.0, sqnrAfter = 0.0;       ///< dB, of the same rows; infinite when lossless
    std::uint64_t bytesBefore = 0, bytesAfter = 0;  ///< of the whole tensor
    std::uint64_t measuredRows = 0, rows = 0;       ///< equal when the figures are of the whole tensor
    std::uint64_t weights = 0;                      ///< of the whole tensor

    /// Where calibration knows the inputs, and for all but mixtures: what counts then.
    std::optional<OutputGain> outputs {};

    /// dB, of outputs where they are known, else of weights.
    double gain() const { return outputs ? outputs->after - outputs->before : sqnrAfter - sqnrBefore; }
    double addedBits() const;  ///< per weight; below 0 when smaller
    /// dB per added bit per weight; infinite where the gain costs nothing.
    double gainPerAddedBit() const;
    bool isMixture() const { return kind == CureKind::WiderRows || kind == CureKind::WiderColumns; }
    /// "A smaller group (int4:g32) would give 27.3 dB instead of 24.1 dB for 0.38 bits per weight more (measured on
    /// 256 of 4096 rows)."
    std::string sentence() const;

    bool operator==(const Cure&) const = default;
};

/// Tries on the tensor itself what may help under `scheme`: half and a quarter of the group (channel → g128, g64;
/// tensor → channel, g128), the range mse, the other symmetries, the next wider formats of the family, other numbers of
/// about the same size, hadamard, hqq, biascorr, ggml's neighbours, one channel of a hundred kept wider, and, where
/// calibration knows the layer's inputs, gptq, cd, awq and smooth. What is not built, or does not fit the tensor, is
/// left out.
///
/// Above mostCureWeights weights everything, `scheme` too, is measured on whole rows evenly spaced over the tensor, as
/// if they were all of it: measuredRows says how many. With cle, which needs its partner's rows, it is the tensor.
/// Order: first what gains and is no larger, by gain; then what gains, by gain per byte; then the rest, by gain. Empty
/// where `scheme` loses nothing or the weights are all zero.
/// Runs in the caller's task arena; the bits do not depend on the number of threads.
/// @pre `weights` are the tensor's statistics. `model`: as for measureSchemes().
/// Errors: Cancelled, Unsupported (of the tensor or of `scheme` itself), Truncated.
Result<std::vector<Cure>> tryCures(const ModelTensor& tensor, const WeightStatistics& weights, const Scheme& scheme,
    const Model* model, std::stop_token stop, Progress& progress);

constexpr std::uint64_t mostCureWeights = std::uint64_t {1} << 20U;

/// The one to suggest: which gains most beyond the 6.02 dB that a bit per weight is worth everywhere, at least 1 dB;
/// else the first in order that gains 3 dB. Not a mixture, and at most a quarter larger. nullptr: none.
const Cure* cureToSuggest(std::span<const Cure> cures);

}  // namespace quantloupe
