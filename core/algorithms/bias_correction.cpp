// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/algorithms/bias_correction.h"

#include <array>
#include <cmath>

namespace quantloupe {
namespace {

/// Two sums over the finite weights of a row and their quantized values, in eight lanes that do not wait for one
/// another.
struct PairSums {
    double original = 0.0, quantized = 0.0;
};

template<class Term>
PairSums sumPairs(std::span<const float> row, std::span<const float> quantized, const Term& term)
{
    std::array<PairSums, 8> lanes {};
    for (std::size_t i = 0; i < row.size(); ++i)
        if (std::isfinite(row[i])) {
            const PairSums terms = term(static_cast<double>(row[i]), static_cast<double>(quantized[i]));
            lanes[i % 8].original += terms.original;
            lanes[i % 8].quantized += terms.quantized;
        }
    PairSums total;
    for (const PairSums& lane : lanes) {
        total.original += lane.original;
        total.quantized += lane.quantized;
    }
    return total;
}

}  // namespace

ChannelCorrection channelCorrection(std::span<const float> row, std::span<const float> quantized)
{
    std::size_t count = 0;
    for (const float weight : row)
        count += std::isfinite(weight) ? 1U : 0U;
    if (count == 0)
        return {};
    PairSums mean = sumPairs(row, quantized, [](double w, double q) { return PairSums {w, q}; });
    mean.original /= static_cast<double>(count);
    mean.quantized /= static_cast<double>(count);
    const PairSums squares = sumPairs(row, quantized, [mean](double w, double q) {
        return PairSums {(w - mean.original) * (w - mean.original), (q - mean.quantized) * (q - mean.quantized)};
    });
    ChannelCorrection correction;
    if (squares.original > 0.0 && squares.quantized > 0.0)
        correction.scale = static_cast<float>(std::sqrt(squares.original / squares.quantized));
    // From the scale as it is stored, so that its rounding moves no mean.
    correction.shift = static_cast<float>(mean.original - static_cast<double>(correction.scale) * mean.quantized);
    return correction;
}

void applyCorrection(const ChannelCorrection& correction, std::span<float> quantized)
{
    for (float& value : quantized)
        value = value * correction.scale + correction.shift + 0.0F;
}

std::vector<float> biasOf(std::span<const float> errors, std::span<const float> meanInput)
{
    std::vector<float> bias;
    for (std::size_t start = 0; start + meanInput.size() <= errors.size() && !meanInput.empty();
         start += meanInput.size()) {
        double sum = 0.0;
        for (std::size_t i = 0; i < meanInput.size(); ++i)
            sum += static_cast<double>(errors[start + i]) * static_cast<double>(meanInput[i]);
        bias.push_back(static_cast<float>(sum));
    }
    return bias;
}

}  // namespace quantloupe
