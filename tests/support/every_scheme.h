// SPDX-License-Identifier: GPL-3.0-or-later
// One scheme and more of every format, granularity, symmetry, range and scale storage, for tests that hold for all.
#pragma once

#include "core/number_formats/double_quantization.h"
#include "core/number_formats/quantizer.h"
#include "core/number_formats/tensor_range_search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace quantloupe::tests {

inline std::vector<std::string> everyScheme()
{
    std::vector<std::string> schemes;
    for (const Format format : allFormats())
        schemes.emplace_back(nameOf(format));
    for (const char* scheme : {"int4:tensor", "int3:channel:symf", "int4:g32:asym", "int5:g48:asymf",
             "int2:g16:asym:mse", "int6:p99.5", "int8:entropy", "int4:tensor:asym:entropy", "int4:b4x16",
             "int3:b3x20:asym:mse", "nf4:b2x64", "ternary:channel", "ternary:b4x8", "fp8_e4m3:tensor",
             "fp8_e5m2:g64:mse", "fp6_e3m2:g32", "fp4_e2m1:g16:mse", "pot4:g32:mse", "lut3:g64", "lut4:s32",
             "lut2:sbf16", "int4:s32", "int4:sbf16", "int4:se8m0", "int4:s8", "int4:g32:asym:sbf16",
             "int4:g32:asym:se8m0", "int4:g32:asym:s8", "int4:g32:asymf:s32", "int4:g32:asymf:sbf16", "nf4:s8",
             "nf4:s32", "fp4_bnb:g32:s8", "fp8_e4m3:s32", "fp8_e4m3:se8m0", "fp8_e4m3:g32:s8", "pot5:s8",
             "ternary:channel:s32", "ternary:channel:sbf16", "ternary:channel:s8", "int8:tensor:s8"})
        schemes.emplace_back(scheme);
    return schemes;
}

/// A matrix quantized under a scheme from first to last, as an analysis does it.
class WholeMatrix
{
public:
    WholeMatrix(const std::string& scheme, std::span<const float> weights, std::size_t rows)
        : quantizer(Quantizer::create(*Scheme::parse(scheme), weights.size() / rows).value())
        , m_weights(weights)
        , m_rows(rows)
    {
        float low = std::numeric_limits<float>::infinity(), high = -low;
        std::uint64_t count = 0;
        for (const float w : weights)
            if (std::isfinite(w)) {
                low = std::min(low, w);
                high = std::max(high, w);
                ++count;
            }
        quantizer.setTensorAbsMax(count == 0 ? 0.0F : std::max(-low, high));
        grids.resize(quantizer.gridCount(rows));
        if (quantizer.hasGrids() && quantizer.wholeTensor()) {
            TensorRangeSearch search(quantizer, low, high, count);
            while (search.needsPass()) {
                auto part = search.emptyPartial();
                search.add(part, weights);
                search.finishPass(part);
            }
            grids[0] = search.grid();
        } else {
            quantizer.fit(weights, rows, grids);
        }
    }

    /// With the grids that were fitted, or with others.
    std::vector<float> quantized() const
    {
        auto own = grids;
        if (quantizer.scheme().scales == ScaleStorage::Double8)
            quantizeScales(quantizer.scheme(), own);
        return quantized(own, m_weights);
    }
    std::vector<float> quantized(std::span<const UnitGrid> own, std::span<const float> weights) const
    {
        std::vector<float> out(weights.size());
        quantizer.fakeQuantize(weights, m_rows, own, out);
        return out;
    }

    Quantizer quantizer;
    std::vector<UnitGrid> grids {};

private:
    std::span<const float> m_weights;
    std::size_t m_rows;
};

}  // namespace quantloupe::tests
