// SPDX-License-Identifier: GPL-3.0-or-later
// Plausible data for every plot of a layer, from a fixed seed, and each plot filled with it.
#pragma once

#include "widgets/plots/activation_plot.h"
#include "widgets/plots/channel_plot.h"
#include "widgets/plots/error_histogram_plot.h"
#include "widgets/plots/histogram_plot.h"
#include "widgets/plots/occupancy_plot.h"
#include "widgets/plots/size_by_role_plot.h"
#include "widgets/plots/small_multiples_plot.h"
#include "widgets/plots/survival_plot.h"
#include "widgets/plots/weight_map_plot.h"
#include "widgets/plots/weight_range_plot.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <random>
#include <vector>

namespace quantloupe::tests {

inline std::vector<float> heavyTailedWeights(std::size_t count, unsigned seed)
{
    std::mt19937 random(seed);
    std::student_t_distribution<float> distribution(5.0F);
    std::vector<float> weights(count);
    for (auto& weight : weights)
        weight = 0.02F * distribution(random);
    return weights;
}

inline Histogram histogramOf(const std::vector<float>& values, double low, double high, std::size_t bins = 256)
{
    Histogram histogram {.low = low, .high = high, .counts = std::vector<std::uint64_t>(bins)};
    for (const float value : values) {
        const double place = (static_cast<double>(value) - low) / (high - low) * static_cast<double>(bins);
        if (place < 0.0)
            ++histogram.underflow;
        else if (place > static_cast<double>(bins))
            ++histogram.overflow;
        else
            ++histogram.counts[std::min(bins - 1, static_cast<std::size_t>(place))];
    }
    return histogram;
}

/// Weights rounded to a symmetric grid of one scale, with the errors.
struct RoundedWeights {
    std::vector<float> weights, rounded, errors, levels;
    std::vector<std::uint64_t> occupancy;
};

inline RoundedWeights roundedWeights(int bits, unsigned seed = 1)
{
    RoundedWeights result {
        .weights = heavyTailedWeights(20000, seed), .rounded = {}, .errors = {}, .levels = {}, .occupancy = {}};
    const int top = (1 << (bits - 1)) - 1;
    // Clipped below the largest weight, so that some errors lie far out.
    const float scale = 0.16F / static_cast<float>(top);
    result.occupancy.resize(static_cast<std::size_t>(2 * top + 1));
    for (int code = -top; code <= top; ++code)
        result.levels.push_back(scale * static_cast<float>(code));
    for (const float weight : result.weights) {
        const int code = std::clamp(static_cast<int>(std::lround(weight / scale)), -top, top);
        ++result.occupancy[static_cast<std::size_t>(code + top)];
        result.rounded.push_back(scale * static_cast<float>(code));
        result.errors.push_back(weight - result.rounded.back());
    }
    return result;
}

inline WeightHistogramData weightHistogramData(int bits)
{
    const auto data = roundedWeights(bits);
    const auto [low, high] = std::minmax_element(data.weights.begin(), data.weights.end());
    const auto pinned = roundedWeights(3);
    WeightHistogramData result;
    result.original = histogramOf(data.weights, *low, *high);
    result.quantized = histogramOf(data.rounded, *low, *high);
    result.scheme = QStringLiteral("int%1:tensor").arg(bits);
    result.levels = data.levels;
    result.pinned = {{QStringLiteral("int3:tensor"), histogramOf(pinned.rounded, *low, *high)}};
    return result;
}

inline NamedHistogram errorHistogram(int bits)
{
    const auto data = roundedWeights(bits);
    const double limit = 0.16 / ((1 << (bits - 1)) - 1) * 0.55;
    return {QStringLiteral("int%1:tensor").arg(bits), histogramOf(data.errors, -limit, limit)};
}

inline std::vector<RoleSize> roleSizes(std::uint64_t divisor)
{
    using enum TensorRole;
    std::vector<RoleSize> sizes;
    const auto add = [&](TensorRole role, std::uint64_t mebibytes, std::size_t tensors, bool kept) {
        sizes.push_back({role, mebibytes << 20, (mebibytes << 20) / (kept ? 1 : divisor), tensors});
    };
    add(Embedding, 1002, 1, true);
    add(Query, 1024, 32, false);
    add(Key, 256, 32, false);
    add(Value, 256, 32, false);
    add(Output, 1024, 32, false);
    add(Gate, 3584, 32, false);
    add(Up, 3584, 32, false);
    add(Down, 3584, 32, false);
    add(LmHead, 1002, 1, true);
    add(Norm, 1, 65, true);
    return sizes;
}

inline std::vector<WeightRange> depthRanges(unsigned blocks)
{
    using enum TensorRole;
    std::mt19937 random(7);
    std::uniform_real_distribution<double> spread(0.7, 1.3);
    std::vector<WeightRange> ranges;
    const auto add = [&](const QString& name, TensorRole role, std::optional<unsigned> block, double size) {
        const double inner = size * spread(random) * 0.25;
        ranges.push_back({name, role, block, -size * spread(random), size * spread(random), -inner, inner});
    };
    add(QStringLiteral("model.embed_tokens.weight"), Embedding, std::nullopt, 0.5);
    for (unsigned block = 0; block < blocks; ++block)
        for (const auto role : {Query, Key, Value, Output, Gate, Up, Down}) {
            const double outlier = role == Down && (block == 1 || block + 2 == blocks) ? 3.0 : 1.0;
            add(QStringLiteral("model.layers.%1.%2.weight").arg(block).arg(roleText(role)), role, block, 0.4 * outlier);
        }
    add(QStringLiteral("lm_head.weight"), LmHead, std::nullopt, 0.6);
    return ranges;
}

inline std::vector<double> survivalOf(double tail)
{
    std::vector<double> survival;
    for (int i = 0; i <= 80; ++i) {
        const double sigma = 0.25 * i;
        const double share = (1 - tail) * SurvivalPlot::normalSurvival(sigma) + tail * std::exp(-sigma * 0.9);
        survival.push_back(share < 3e-7 ? 0.0 : share);
    }
    return survival;
}

inline ChannelProfile channelProfile(std::size_t count, std::uint32_t outlier)
{
    ChannelProfile profile {.rows = false, .quantity = QStringLiteral("Largest |w|")};
    std::mt19937 random(3);
    std::gamma_distribution<float> distribution(9.0F, 0.01F);
    for (std::size_t i = 0; i < count; ++i)
        profile.values.push_back(distribution(random));
    profile.values[outlier] = 0.55F;
    profile.values[outlier / 3] = 0.43F;
    profile.outliers = {outlier / 3, outlier};
    profile.threshold = 0.27;
    return profile;
}

inline WeightMap weightMap(MapQuantity quantity, std::uint32_t size = 160)
{
    WeightMap map {.quantity = quantity, .rows = 4096, .columns = 4096, .height = size, .width = size, .cells = {}};
    map.cells = heavyTailedWeights(std::size_t(size) * size, 5);
    for (std::uint32_t y = 0; y < size; ++y) {
        map.cells[y * size + size / 3] *= 6.0F;
        for (std::uint32_t x = 0; x < size; ++x) {
            auto& cell = map.cells[y * size + x];
            if (quantity == MapQuantity::AbsError)
                cell = std::abs(cell);
            else if (quantity == MapQuantity::Codes)
                cell = std::clamp(std::round(cell * 100.0F), -7.0F, 7.0F);
        }
    }
    return map;
}

inline std::vector<SchemePanel> schemePanels()
{
    std::vector<SchemePanel> panels;
    for (const int bits : {2, 3, 4, 5, 6, 8})
        panels.push_back(
            {errorHistogram(bits).name, errorHistogram(bits).histogram, 6.02 * bits - 4.0, bits + 0.13, bits == 4});
    return panels;
}

/// A plot made with one of two sets of data (variant 0 and 1), or empty (variant −1).
struct PlotRecipe {
    const char* name;
    QSize size;
    std::function<std::unique_ptr<Plot>(int variant)> make;
};

template<class PlotClass, class Fill>
PlotRecipe recipe(const char* name, QSize size, Fill fill)
{
    return {name, size, [fill](int variant) -> std::unique_ptr<Plot> {
                auto plot = std::make_unique<PlotClass>();
                if (variant >= 0)
                    fill(*plot, variant);
                return plot;
            }};
}

/// Inputs of a layer of which a few channels are far louder than the others.
inline InputProfile inputProfile(std::size_t channels, std::vector<std::uint32_t> loud)
{
    std::mt19937 random(5);
    std::lognormal_distribution<float> sizes(0.0F, 0.3F);
    InputProfile profile {.tokens = 8192};
    for (std::size_t i = 0; i < channels; ++i) {
        profile.rms.push_back(0.25F * sizes(random));
        profile.absMax.push_back(profile.rms.back() * 4.0F);
    }
    profile.medianAbsMax = 1.0;
    profile.medianRms = 0.25;
    for (std::size_t i = 0; i < loud.size(); ++i) {
        profile.absMax[loud[i]] = 60.0F / static_cast<float>(i + 1);
        profile.rms[loud[i]] = 20.0F / static_cast<float>(i + 1);
    }
    profile.outliers = std::move(loud);
    profile.usualToken = 25.0;
    profile.loudToken = 48.0;
    return profile;
}

inline std::vector<PlotRecipe> layerPlots()
{
    return {
        recipe<SizeByRolePlot>(
            "size-by-role", {760, 220}, [](auto& plot, int v) { plot.setSizes(roleSizes(v ? 2 : 4)); }),
        recipe<WeightRangePlot>("weight-ranges", {1000, 300},
            [](auto& plot, int v) {
                plot.setRanges(depthRanges(v ? 12 : 32));
                plot.setSelection({QStringLiteral("model.layers.9.Down.weight")});
            }),
        recipe<HistogramPlot>(
            "histogram", {560, 320}, [](auto& plot, int v) { plot.setData(weightHistogramData(v ? 5 : 4)); }),
        recipe<ErrorHistogramPlot>("error-histogram", {560, 320},
            [](auto& plot, int v) {
                plot.setData(errorHistogram(v ? 5 : 4), {errorHistogram(3), errorHistogram(6)});
            }),
        recipe<SurvivalPlot>(
            "survival", {560, 320}, [](auto& plot, int v) { plot.setSurvival(survivalOf(v ? 0.001 : 0.02)); }),
        recipe<ChannelPlot>("channels", {560, 260},
            [](auto& plot, int v) { plot.setProfile(channelProfile(v ? 200 : 4096, v ? 120 : 1200)); }),
        recipe<ActivationPlot>("activations", {1000, 280},
            [](auto& plot, int v) {
                plot.setProfile(v ? inputProfile(300, {40}) : inputProfile(4096, {2533, 1415, 90}));
            }),
        recipe<WeightMapPlot>("weight-map", {560, 460},
            [](auto& plot, int v) {
                plot.setMap(
                    weightMap(v ? MapQuantity::AbsError : MapQuantity::Weights), {.rows = 4096, .columns = 4096});
            }),
        recipe<OccupancyPlot>("occupancy", {560, 260},
            [](auto& plot, int v) {
                const auto data = roundedWeights(v ? 6 : 4);
                plot.setOccupancy(data.occupancy, v ? 4.4 : 2.9, data.levels);
            }),
        recipe<SmallMultiplesPlot>("small-multiples", {1000, 180},
            [](auto& plot, int v) {
                auto panels = schemePanels();
                if (v)
                    panels.resize(4);
                plot.setPanels(panels);
            }),
    };
}

}  // namespace quantloupe::tests
