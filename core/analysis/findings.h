// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/analysis/cures.h"
#include "core/study/study.h"

#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace quantloupe {

enum class FindingKind : std::uint8_t {
    BrokenValues,
    ConstantTensor,
    DeadChannels,
    HeavyTails,
    LoudInputChannels,
    LoudOutputChannels,
    LowSqnr,
    BetterScheme,
};

/// One thing worth knowing about a tensor, as a plain sentence with the numbers it rests on.
struct Finding {
    std::string tensor {};  ///< the tensor meant, or the one where it shows most
    std::string text {};    ///< an English sentence without the tensor's name
    /// What comes first: 1000 for broken values, 500 for constant tensors; else the decibels that are at stake.
    double severity = 0.0;
    std::string scheme {};  ///< the scheme it was seen under; empty where none is involved
    FindingKind kind = FindingKind::BrokenValues;
    /// What would help, measured: from the study itself (BetterScheme), or by findingsWithCures().
    std::optional<Cure> cure {};

    bool operator==(const Finding&) const = default;
};

/// What the figures of a study show, worst first:
/// - NaN and infinite weights; tensors and output channels that are all zero or all one value;
/// - heavy tails: excess kurtosis of 10 or more (a normal distribution has 0);
/// - few channels that carry much of the error: at most a tenth of all, each over 5 × the median channel, together
///   at least 15 % of it;
/// - SQNR 3 dB or more below the median of at least four tensors of the same role under the same scheme;
/// - a scheme measured for the same tensor that takes at most 5 % more bytes and is at least 3 dB better.
/// At most twelve of each kind beyond the broken ones. Nothing is claimed that the study did not measure.
std::vector<Finding> findingsOf(const StudySnapshot& study);

constexpr std::size_t mostFindingsToCure = 12;

/// findingsOf(), with a cure for those about errors: tryCures() on the tensors of the worst of them, whose sentences
/// then end in what the best one measured there would give, what the best does without a rotation where it is one, or
/// in that none of those tried helps. Heavy tails, which are seen without a scheme, take the scheme with the lowest
/// SQNR that the study has for the tensor, and name it. Cures of BetterScheme are the study's own measurements. Tensors
/// that the model does not have are passed over. Runs in the caller's task arena; the bits do not depend on the number
/// of threads. Sets the totals of `progress`. Errors: Cancelled, Truncated.
Result<std::vector<Finding>> findingsWithCures(
    const Model& model, const StudySnapshot& study, std::stop_token stop, Progress& progress);

}  // namespace quantloupe
