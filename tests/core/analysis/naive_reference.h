// SPDX-License-Identifier: GPL-3.0-or-later
// What an analysis must come to, worked out the slow way: whole tensor at once, long double, one loop.
#pragma once

#include "core/number_formats/quantizer.h"
#include "core/number_formats/tensor_range_search.h"
#include "core/study/measurement.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

namespace quantloupe::tests {

struct NaiveErrors {
    std::uint64_t count = 0, nonFinite = 0, clipped = 0;
    long double signal = 0, quantized = 0, error = 0, dot = 0, sum = 0, largest = 0;
    std::vector<long double> rows, columns;
    std::vector<float> values;  ///< ŵ
    std::vector<UnitGrid> grids;
};

inline NaiveErrors naiveErrors(
    const Scheme& scheme, std::span<const float> weights, std::size_t rows, std::size_t columns)
{
    const auto quantizer = Quantizer::create(scheme, columns).value();
    NaiveErrors result;
    result.grids.resize(quantizer.gridCount(rows));
    if (quantizer.wholeTensor()) {
        float lowest = 0.0F, highest = 0.0F;
        std::uint64_t finite = 0;
        for (const float w : weights)
            if (std::isfinite(w)) {
                lowest = finite == 0 ? w : std::min(lowest, w);
                highest = finite == 0 ? w : std::max(highest, w);
                ++finite;
            }
        TensorRangeSearch search(quantizer, lowest, highest, finite);
        while (search.needsPass()) {
            auto partial = search.emptyPartial();
            search.add(partial, weights);
            search.finishPass(partial);
        }
        result.grids.front() = search.grid();
    } else {
        quantizer.fit(weights, rows, result.grids);
    }
    result.values.resize(weights.size());
    result.clipped = quantizer.fakeQuantize(weights, rows, result.grids, result.values);
    result.rows.resize(rows);
    result.columns.resize(columns);
    for (std::size_t i = 0; i < weights.size(); ++i) {
        const long double w = weights[i], q = result.values[i];
        if (!std::isfinite(weights[i])) {
            ++result.nonFinite;
            continue;
        }
        ++result.count;
        result.signal += w * w;
        result.quantized += q * q;
        result.dot += w * q;
        result.error += (w - q) * (w - q);
        result.sum += w - q;
        result.largest = std::max(result.largest, std::abs(w - q));
        result.rows[i / columns] += (w - q) * (w - q);
        result.columns[i % columns] += (w - q) * (w - q);
    }
    return result;
}

inline bool close(long double actual, long double expected, long double tolerance)
{
    return std::abs(actual - expected) <= tolerance * std::max(1e-30L, std::abs(expected));
}

}  // namespace quantloupe::tests
