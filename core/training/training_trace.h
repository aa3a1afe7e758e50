// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/statistics/histogram.h"
#include "core/training/student.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace quantloupe {

/// Over the units of a matrix: quantiles of the scale as a share of the one that training began with.
struct StepSpread {
    std::uint64_t step = 0;  ///< so many are done
    double p5 = 1.0, p25 = 1.0, median = 1.0, p75 = 1.0, p95 = 1.0;
    bool operator==(const StepSpread&) const = default;
};

/// Where the trained weights of a matrix lie between the levels that they are rounded to. All units are laid over each
/// other: a weight counts as its distance from code 0 (of symmetric schemes and code books: from 0) in scales of its
/// unit.
struct LevelHistogram {
    Histogram histogram {};
    std::vector<float> levels {};  ///< in the same units, ascending
    double distance = 0.0;         ///< mean |w − ŵ|, in scales; 1/4 where weights lie evenly between integers
    bool operator==(const LevelHistogram&) const = default;
};

/// As the matrix is today. Absent for formats without scales of their own and for more than 256 levels.
std::optional<LevelHistogram> levelHistogram(const TrainedMatrix& matrix);

/// What is seen of a student's matrices while it is trained. Keeps the scales of its beginning: 4 bytes per unit.
class TrainingTrace
{
public:
    /// @pre the student was quantized
    explicit TrainingTrace(const Student& student);

    /// Notes the scales of today. @pre step is above that of the call before
    void note(std::uint64_t step, const Student& student);

    /// Of matrix `index` of Student::matrices(), the beginning (all 1) included; empty where the format has no scales.
    const std::vector<StepSpread>& spreads(std::size_t index) const { return m_matrices[index].spreads; }
    /// As the matrix was at the beginning.
    const std::optional<LevelHistogram>& beginning(std::size_t index) const { return m_matrices[index].beginning; }

private:
    struct Watched {
        std::vector<float> scales {};
        std::vector<StepSpread> spreads {};
        std::optional<LevelHistogram> beginning {};
    };
    std::vector<Watched> m_matrices;
};

}  // namespace quantloupe
