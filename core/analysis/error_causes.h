// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/analysis/inspect.h"
#include "core/calibration/input_figures.h"
#include "core/statistics/weight_statistics.h"

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace quantloupe {

/// Channels that stand out, and how much of a layer's error is theirs.
struct OutlierShare {
    std::size_t channels = 0, of = 0;
    double share = 0.0;  ///< 0 … 1 of the error; channels / of is what an even spread would give
    bool operator==(const OutlierShare&) const = default;
};

/// Why a layer loses what it loses under a scheme: its error by cause. Shares are of Σ(w−ŵ)², but for activations.
struct ErrorCauses {
    std::optional<double> clipping {};  ///< the rest is rounding; absent where LayerInspection::split is
    OutlierShare loudestRows {};        ///< the 1 % of output channels with most error, at least one
    OutlierShare loudestColumns {};     ///< the same of input channels
    OutlierShare loudestGroup {};       ///< the one group of weights with most error
    OutlierShare weightRows {};         ///< output channels with outlier weights (WeightStatistics::outlierRows)
    OutlierShare weightColumns {};      ///< input channels with outlier weights
    /// Input channels whose largest |x| is over 3 × the median channel's: their share of Σ_j E x_j²·Σ_i (w−ŵ)²_ij, what
    /// reaches the outputs but for correlations. Absent without calibration.
    std::optional<OutlierShare> activations {};

    /// What stands out, worst first: a sentence each. One that says that nothing does, where nothing does.
    std::vector<std::string> sentences() const;
    bool operator==(const ErrorCauses&) const = default;
};

/// `inputs`: what calibration knows of the layer, or null.
ErrorCauses causesOf(const LayerInspection& inspection, const WeightStatistics& weights, const InputFigures* inputs);

}  // namespace quantloupe
