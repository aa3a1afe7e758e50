// SPDX-License-Identifier: GPL-3.0-or-later
// Sources: Su et al., "RoFormer" (2021); Peng et al., "YaRN" (2023); Ding et al., "LongRoPE" (2024); the scaling of
// Llama 3.1; each as transformers computes it.
#include "core/inference/rotary.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

namespace quantloupe {
namespace {

std::vector<double> plainFrequencies(double base, std::size_t dimensions)
{
    std::vector<double> frequencies(dimensions / 2);
    for (std::size_t i = 0; i < frequencies.size(); ++i)
        frequencies[i] = std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(dimensions));
    return frequencies;
}

tl::unexpected<Error> badScaling(const RotaryScaling& scaling, const std::string& reason)
{
    return failure(ErrorCode::Malformed, "rotary scaling '" + scaling.type + "'", reason);
}

double mscale(double factor, double by)
{
    return factor <= 1.0 ? 1.0 : 0.1 * by * std::log(factor) + 1.0;
}

/// Llama 3.1: long waves are stretched, short ones kept, those between blended.
void scaleByWaveLength(std::vector<double>& frequencies, double factor, double low, double high, double context)
{
    for (auto& frequency : frequencies) {
        const double wave = 2.0 * std::numbers::pi / frequency;
        if (wave > context / low) {
            frequency /= factor;
        } else if (wave >= context / high) {
            const double share = (context / wave - low) / (high - low);
            frequency = (1.0 - share) * frequency / factor + share * frequency;
        }
    }
}

/// YaRN: pairs that turn often within the original context are kept, those that turn rarely stretched.
void scaleByTurns(std::vector<double>& frequencies, const RotaryScaling& scaling, double base, double context)
{
    const auto dimensions = 2.0 * static_cast<double>(frequencies.size());
    const auto pairThatTurns = [&](double times) {
        return dimensions * std::log(context / (times * 2.0 * std::numbers::pi)) / (2.0 * std::log(base));
    };
    double first = pairThatTurns(scaling.betaFast.value_or(32.0));
    double last = pairThatTurns(scaling.betaSlow.value_or(1.0));
    if (scaling.truncates) {
        first = std::floor(first);
        last = std::ceil(last);
    }
    first = std::max(first, 0.0);
    last = std::min(last, dimensions - 1.0);
    if (first == last)
        last += 0.001;
    for (std::size_t i = 0; i < frequencies.size(); ++i) {
        const double ramp = std::clamp((static_cast<double>(i) - first) / (last - first), 0.0, 1.0);
        frequencies[i] = frequencies[i] / *scaling.factor * ramp + frequencies[i] * (1.0 - ramp);
    }
}

Result<void> divide(std::vector<double>& frequencies, const std::vector<double>& factors, const RotaryScaling& scaling)
{
    if (factors.size() != frequencies.size())
        return badScaling(scaling,
            "has " + std::to_string(factors.size()) + " factors for " + std::to_string(frequencies.size()) + " pairs");
    for (std::size_t i = 0; i < factors.size(); ++i) {
        if (!(factors[i] > 0.0) || !std::isfinite(factors[i]))
            return badScaling(scaling, "has a factor that is not above 0");
        frequencies[i] /= factors[i];
    }
    return {};
}

Result<void> scaleLong(Rotary& rotary, const RotaryScaling& scaling, std::optional<std::uint64_t> contextLength,
    const RotaryFactors& stored)
{
    const auto choose = [](const std::vector<double>& said, const std::vector<float>& kept) {
        return said.empty() ? std::vector<double>(kept.begin(), kept.end()) : said;
    };
    rotary.longFrequencies = rotary.frequencies;
    if (auto done = divide(rotary.frequencies, choose(scaling.shortFactors, stored.shortOnes), scaling); !done)
        return done;
    if (auto done = divide(rotary.longFrequencies, choose(scaling.longFactors, stored.longOnes), scaling); !done)
        return done;
    if (!contextLength || *contextLength == 0)
        return badScaling(scaling, "the context length is not said");
    const auto context = static_cast<double>(*contextLength);
    rotary.originalContext = scaling.originalContext.value_or(context);
    const double factor = scaling.originalContext ? context / *scaling.originalContext : scaling.factor.value_or(1.0);
    const double derived = factor <= 1.0 ? 1.0 : std::sqrt(1.0 + std::log(factor) / std::log(rotary.originalContext));
    rotary.attentionFactor = static_cast<float>(scaling.attentionFactor.value_or(derived));
    return {};
}

Result<void> scaleYarn(Rotary& rotary, const RotaryScaling& scaling, double base, double context)
{
    if (!(context > 0.0) || !(base > 1.0))
        return badScaling(scaling, "the original context or the base is not said");
    scaleByTurns(rotary.frequencies, scaling, base, context);
    const double factor = *scaling.factor;
    const bool both = scaling.mscale.value_or(0.0) != 0.0 && scaling.mscaleAllDimensions.value_or(0.0) != 0.0;
    const double derived =
        both ? mscale(factor, *scaling.mscale) / mscale(factor, *scaling.mscaleAllDimensions) : mscale(factor, 1.0);
    rotary.attentionFactor = static_cast<float>(scaling.attentionFactor.value_or(derived));
    return {};
}

}  // namespace

Result<Rotary> makeRotary(const RotaryScaling& scaling, double base, std::size_t dimensions,
    std::optional<std::uint64_t> contextLength, const RotaryFactors& factors)
{
    if (!(base > 0.0) || !std::isfinite(base) || dimensions == 0 || dimensions % 2 != 0)
        return failure(ErrorCode::Malformed, "rotary positions",
            "base " + std::to_string(base) + " and " + std::to_string(dimensions) + " dimensions do not go together");
    Rotary rotary {.frequencies = plainFrequencies(base, dimensions)};
    if (!factors.all.empty()) {
        const std::vector<double> all(factors.all.begin(), factors.all.end());
        if (auto done = divide(rotary.frequencies, all, scaling); !done)
            return tl::unexpected(done.error());
    }
    const auto& type = scaling.type;
    if (type.empty() || type == "default")
        return rotary;
    if (type == "longrope")
        return scaleLong(rotary, scaling, contextLength, factors).map([&] { return rotary; });
    if (type != "linear" && type != "dynamic" && type != "yarn" && type != "llama3")
        return failure(ErrorCode::Unsupported, "rotary scaling '" + type + "'", "is not built");
    if (!(scaling.factor.value_or(0.0) > 0.0) || !std::isfinite(*scaling.factor))
        return badScaling(scaling, "the factor is missing or not above 0");
    const double context = scaling.originalContext.value_or(static_cast<double>(contextLength.value_or(0)));
    if (type == "yarn")
        return scaleYarn(rotary, scaling, base, context).map([&] { return rotary; });
    if (type == "linear") {
        for (auto& frequency : rotary.frequencies)
            frequency /= *scaling.factor;
    } else if (type == "dynamic") {
        if (!contextLength || *contextLength == 0 || dimensions == 2)
            return badScaling(scaling, "the context length is not said, or two dimensions are too few");
        rotary.originalContext = static_cast<double>(*contextLength);
        rotary.dynamic = Rotary::Dynamic {base, *scaling.factor};
    } else if (const double low = scaling.lowFrequencyFactor.value_or(1.0),
               high = scaling.highFrequencyFactor.value_or(4.0);
               !(low > 0.0) || !(high > low) || !(context > 0.0)) {
        return badScaling(scaling, "the wave lengths or the original context are out of range");
    } else {
        scaleByWaveLength(rotary.frequencies, *scaling.factor, low, high, context);
    }
    return rotary;
}

RotaryTable rotaryTable(const Rotary& rotary, std::size_t length)
{
    const bool beyond = static_cast<double>(length) > rotary.originalContext;
    auto frequencies = beyond && !rotary.longFrequencies.empty() ? rotary.longFrequencies : rotary.frequencies;
    if (rotary.dynamic && beyond) {
        const auto& [base, factor] = *rotary.dynamic;
        const auto dimensions = 2.0 * static_cast<double>(frequencies.size());
        const double stretch = factor * static_cast<double>(length) / rotary.originalContext - (factor - 1.0);
        frequencies =
            plainFrequencies(base * std::pow(stretch, dimensions / (dimensions - 2.0)), 2 * frequencies.size());
    }
    RotaryTable table {.pairs = frequencies.size()};
    table.cosines.resize(length * table.pairs);
    table.sines.resize(length * table.pairs);
    for (std::size_t position = 0; position < length; ++position)
        for (std::size_t i = 0; i < table.pairs; ++i) {
            const double angle = static_cast<double>(position) * frequencies[i];
            table.cosines[position * table.pairs + i] = static_cast<float>(std::cos(angle)) * rotary.attentionFactor;
            table.sines[position * table.pairs + i] = static_cast<float>(std::sin(angle)) * rotary.attentionFactor;
        }
    return table;
}

void rotateHeads(kernels::MutableMatrix values, std::size_t headDimension, const RotaryTable& table,
    std::size_t firstPosition, PositionKind kind)
{
    const auto pairs = table.pairs;
    const std::size_t step = kind == PositionKind::Pairs ? 2 : 1;
    const std::size_t apart = kind == PositionKind::Pairs ? 1 : pairs;
    for (std::size_t row = 0; row < values.rows; ++row) {
        const auto* cosines = table.cosines.data() + (firstPosition + row) * pairs;
        const auto* sines = table.sines.data() + (firstPosition + row) * pairs;
        for (std::size_t head = 0; head + headDimension <= values.columns; head += headDimension) {
            float* at = values.row(row) + head;
            for (std::size_t i = 0; i < pairs; ++i) {
                const float a = at[i * step];
                const float b = at[i * step + apart];
                at[i * step] = a * cosines[i] - b * sines[i];
                at[i * step + apart] = a * sines[i] + b * cosines[i];
            }
        }
    }
}

}  // namespace quantloupe
