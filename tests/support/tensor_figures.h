// SPDX-License-Identifier: GPL-3.0-or-later
// Figures of a tensor's values, as statistics of the corpus give them.
#pragma once

#include "core/tensor/tensor_view.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace quantloupe::tests {

struct Figures {
    double min = std::numeric_limits<double>::infinity(), max = -min;
    double mean = 0.0, deviation = 0.0, norm = 0.0;
};

inline Figures figuresOf(const std::vector<float>& values)
{
    Figures figures;
    double sum = 0.0, squares = 0.0, deviations = 0.0;
    for (const double value : values) {
        figures.min = std::min(figures.min, value);
        figures.max = std::max(figures.max, value);
        sum += value;
        squares += value * value;
    }
    const auto count = double(values.size());
    figures.mean = sum / count;
    for (const double value : values)
        deviations += (value - figures.mean) * (value - figures.mean);
    figures.deviation = std::sqrt(deviations / count);
    figures.norm = std::sqrt(squares);
    return figures;
}

/// All rows, whatever must be unpacked first; empty when that fails.
inline std::vector<float> valuesOf(const TensorView& view)
{
    const auto held = holdBytes(view, {});
    const auto matrix = matrixShape(view);
    std::vector<float> values;
    if (held) {
        values.resize(matrix.elements());
        decodeRows(view, 0, matrix.rows, values);
    }
    return values;
}

/// Whether figures are those of a row of STATS.json, times `scale`. The reference sums in another order; extremes are
/// single values and must be equal.
inline bool agree(const Figures& figures, const nlohmann::json& row, double scale = 1.0)
{
    const auto norm = scale * row.at("l2").get<double>();
    const auto tolerance = 1e-9 * std::max(1.0, norm);
    return figures.min == scale * row.at("min").get<double>() && figures.max == scale * row.at("max").get<double>()
        && std::abs(figures.mean - scale * row.at("mean").get<double>()) < tolerance
        && std::abs(figures.deviation - scale * row.at("std").get<double>()) < tolerance
        && std::abs(figures.norm - norm) < tolerance;
}

}  // namespace quantloupe::tests
