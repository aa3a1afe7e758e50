// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/study/study.h"

#include <string>
#include <vector>

namespace quantloupe {

/// One thing worth knowing about a tensor, as a plain sentence with the numbers it rests on.
struct Finding {
    std::string tensor {};  ///< the tensor meant, or the one where it shows most
    std::string text {};    ///< an English sentence without the tensor's name
    /// What comes first: 1000 for broken values, 500 for constant tensors; else the decibels that are at stake.
    double severity = 0.0;
    std::string scheme {};  ///< the scheme it was seen under; empty where none is involved

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

}  // namespace quantloupe
