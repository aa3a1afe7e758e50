// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/inference/block.h"
#include "core/inference/gated.h"
#include "core/inference/operations.h"
#include "core/inference/pieces.h"
#include "core/inference/routing.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace quantloupe {
namespace {

Result<void> runDense(const BlockRun& run, const FeedForwardPart& part, const LoadedNorm& norm,
    const LoadedNorm& outputNorm, HiddenStates& states, const ProgressShare& progress)
{
    const auto weights = loadGated(run, *part.dense);
    if (!weights)
        return tl::unexpected(weights.error());
    const auto& decoder = run.decoder;
    const auto tiles = tilesOf(states);
    const auto normed = [&](const TokenTile& tile, std::vector<float>& buffer) -> kernels::ConstMatrix {
        buffer.resize(tile.count * decoder.hidden);
        const kernels::MutableMatrix inputs {buffer.data(), tile.count, decoder.hidden, decoder.hidden};
        normRows(states.matrix().rowRange(tile.firstRow, tile.count), norm, decoder.architecture.norm,
            decoder.normEpsilon, inputs);
        return inputs;
    };
    const auto ranges = measureGated(run, *part.dense, *weights, tiles, normed);
    forEachPiece(tiles.size(), run.stop, [&](std::size_t i) {
        const auto& tile = tiles[i];
        const auto x = states.matrix().rowRange(tile.firstRow, tile.count);
        std::vector<float> buffer;
        auto out = runGated(
            run, *part.dense, *weights, ranges, tile.call, states.firstToken + tile.firstRow, normed(tile, buffer));
        const kernels::MutableMatrix outputs {out.data(), tile.count, decoder.hidden, decoder.hidden};
        if (part.outputNorm)
            normRows(outputs, outputNorm, decoder.architecture.norm, decoder.normEpsilon, outputs);
        addRows(outputs, x);
        progress.advance(i, i + 1, tiles.size());
    });
    return run.stop.stop_requested() ? Result<void>(stopped("feed-forward")) : Result<void>();
}

/// All tokens of a batch on their way through a mixture of experts.
class MixturePass
{
public:
    MixturePass(const BlockRun& run, const FeedForwardPart& part, HiddenStates& states)
        : m_run(run)
        , m_part(part)
        , m_states(states)
        , m_tiles(tilesOf(states))
        , m_normed(states.values.size())
        , m_routes(states.rows() * run.decoder.expertsPerToken)
    {
    }

    Result<void> route(const LoadedNorm& norm)
    {
        const auto& decoder = m_run.decoder;
        const auto router = loadLayers(*decoder.model, std::span(&*m_part.router, 1), m_run.replacers, m_run.stop);
        if (!router)
            return tl::unexpected(router.error());
        forEachPiece(m_tiles.size(), m_run.stop, [&](std::size_t i) {
            const auto& tile = m_tiles[i];
            const auto inputs = normed().rowRange(tile.firstRow, tile.count);
            normRows(m_states.matrix().rowRange(tile.firstRow, tile.count), norm, decoder.architecture.norm,
                decoder.normEpsilon, inputs);
        });
        const auto ranges = rangesOfNormed(*m_part.router);
        forEachPiece(m_tiles.size(), m_run.stop, [&](std::size_t i) {
            const auto& tile = m_tiles[i];
            std::vector<float> scores(tile.count * router->outputs);
            multiplyInputs(m_run, std::span(&*m_part.router, 1), *router, inputsOf(tile, ranges),
                {scores.data(), tile.count, router->outputs, router->outputs});
            for (std::size_t token = 0; token < tile.count; ++token)
                chooseExperts(std::span(scores).subspan(token * router->outputs, router->outputs),
                    decoder.normalizesExperts, {routesOf(tile.firstRow + token), decoder.expertsPerToken});
        });
        return m_run.stop.stop_requested() ? Result<void>(stopped("router")) : Result<void>();
    }

    Result<void> runExpert(std::size_t expert, const ProgressShare& progress)
    {
        const auto isHere = [&](const Route& route) { return route.expert == expert; };
        if (std::none_of(m_routes.begin(), m_routes.end(), isHere)) {
            progress.finish();
            return {};
        }
        const auto weights = loadGated(m_run, m_part.experts[expert]);
        if (!weights)
            return tl::unexpected(weights.error());
        const auto ranges = measureGated(m_run, m_part.experts[expert], *weights, m_tiles,
            [&](const TokenTile& tile, std::vector<float>& buffer) { return gather(tile, expert, buffer, nullptr); });
        forEachPiece(m_tiles.size(), m_run.stop, [&](std::size_t i) {
            runTile(m_tiles[i], expert, *weights, ranges);
            progress.advance(i, i + 1, m_tiles.size());
        });
        return m_run.stop.stop_requested() ? Result<void>(stopped("expert")) : Result<void>();
    }

    Result<void> runShared(const ProgressShare& progress)
    {
        const auto weights = loadGated(m_run, *m_part.dense);
        if (!weights)
            return tl::unexpected(weights.error());
        LoadedLayers gate;
        if (m_part.sharedGate) {
            auto loaded =
                loadLayers(*m_run.decoder.model, std::span(&*m_part.sharedGate, 1), m_run.replacers, m_run.stop);
            if (!loaded)
                return tl::unexpected(loaded.error());
            gate = std::move(*loaded);
        }
        const auto ranges = measureGated(m_run, *m_part.dense, *weights, m_tiles,
            [&](const TokenTile& tile, std::vector<float>&) { return normedOf(tile); });
        const auto gateRanges = m_part.sharedGate ? rangesOfNormed(*m_part.sharedGate) : CallRanges();
        forEachPiece(m_tiles.size(), m_run.stop, [&](std::size_t i) {
            const auto& tile = m_tiles[i];
            const auto out = runGated(
                m_run, *m_part.dense, *weights, ranges, tile.call, m_states.firstToken + tile.firstRow, normedOf(tile));
            std::vector<float> share(tile.count);
            if (m_part.sharedGate)
                multiplyInputs(m_run, std::span(&*m_part.sharedGate, 1), gate, inputsOf(tile, gateRanges),
                    {share.data(), tile.count, 1, 1});
            for (std::size_t token = 0; token < tile.count; ++token)
                addWeighted(out.data() + token * m_states.hidden, tile.firstRow + token,
                    m_part.sharedGate ? 1.0F / (1.0F + std::exp(-share[token])) : 1.0F);
            progress.advance(i, i + 1, m_tiles.size());
        });
        return m_run.stop.stop_requested() ? Result<void>(stopped("shared expert")) : Result<void>();
    }

private:
    kernels::MutableMatrix normed() { return {m_normed.data(), m_states.rows(), m_states.hidden, m_states.hidden}; }
    Route* routesOf(std::size_t row) { return m_routes.data() + row * m_run.decoder.expertsPerToken; }

    kernels::ConstMatrix normedOf(const TokenTile& tile) { return normed().rowRange(tile.firstRow, tile.count); }
    TileInputs inputsOf(const TokenTile& tile, const CallRanges& ranges)
    {
        return {.firstToken = m_states.firstToken + tile.firstRow,
            .values = normedOf(tile),
            .range = rangeIn(ranges, tile.call)};
    }
    /// Where the layer, which every token goes through, needs them.
    CallRanges rangesOfNormed(const LinearLayer& layer)
    {
        if (!needsRange(m_run.inputs, std::span(&layer, 1)))
            return {};
        return measureRanges(
            m_tiles, m_run.stop, [&](const TokenTile& tile, std::vector<float>&) { return normedOf(tile); });
    }

    struct Routed {
        std::size_t row;
        float weight;
    };
    /// Those tokens of a tile that go to the expert, and where they belong.
    kernels::ConstMatrix gather(
        const TokenTile& tile, std::size_t expert, std::vector<float>& gathered, std::vector<Routed>* routed)
    {
        for (auto row = tile.firstRow; row < tile.firstRow + tile.count; ++row)
            for (std::size_t i = 0; i < m_run.decoder.expertsPerToken; ++i)
                if (const auto& route = routesOf(row)[i]; route.expert == expert) {
                    if (routed)
                        routed->push_back({row, route.weight});
                    const float* from = normed().row(row);
                    gathered.insert(gathered.end(), from, from + m_states.hidden);
                }
        return {gathered.data(), gathered.size() / m_states.hidden, m_states.hidden, m_states.hidden};
    }

    void runTile(const TokenTile& tile, std::size_t expert, const LoadedGated& weights, const GatedRanges& ranges)
    {
        std::vector<Routed> routed;
        std::vector<float> gathered;
        const auto inputs = gather(tile, expert, gathered, &routed);
        if (routed.empty())
            return;
        const auto out = runGated(
            m_run, m_part.experts[expert], weights, ranges, tile.call, m_states.firstToken + tile.firstRow, inputs);
        for (std::size_t i = 0; i < routed.size(); ++i)
            addWeighted(out.data() + i * m_states.hidden, routed[i].row, routed[i].weight);
    }

    void addWeighted(const float* out, std::size_t row, float weight)
    {
        float* x = m_states.matrix().row(row);
        for (std::size_t i = 0; i < m_states.hidden; ++i)
            x[i] += weight * out[i];
    }

    const BlockRun& m_run;
    const FeedForwardPart& m_part;
    HiddenStates& m_states;
    std::vector<TokenTile> m_tiles;
    ZeroedArray<float> m_normed;  ///< the residual stream changes while the experts add to it
    std::vector<Route> m_routes;
};

Result<void> runMixture(const BlockRun& run, const FeedForwardPart& part, const LoadedNorm& norm, HiddenStates& states,
    const ProgressShare& progress)
{
    MixturePass pass(run, part, states);
    if (auto done = pass.route(norm); !done)
        return done;
    const auto passes = part.experts.size() + (part.dense ? 1 : 0);
    auto rest = progress;
    for (std::size_t i = 0; i < passes; ++i) {
        const auto [share, left] = rest.split(1.0 / static_cast<double>(passes - i));
        rest = left;
        auto done = i < part.experts.size() ? pass.runExpert(i, share) : pass.runShared(share);
        if (!done)
            return done;
    }
    return {};
}

}  // namespace

Result<void> runFeedForward(
    const BlockRun& run, const FeedForwardPart& part, HiddenStates& states, const ProgressShare& progress)
{
    const auto& model = *run.decoder.model;
    const auto norm = loadNorm(model, part.norm, run.stop, run.divisors);
    if (!norm)
        return tl::unexpected(norm.error());
    LoadedNorm outputNorm;
    if (part.outputNorm) {
        auto loaded = loadNorm(model, *part.outputNorm, run.stop);
        if (!loaded)
            return tl::unexpected(loaded.error());
        outputNorm = std::move(*loaded);
    }
    return part.router ? runMixture(run, part, *norm, states, progress)
                       : runDense(run, part, *norm, outputNorm, states, progress);
}

std::uint64_t workingBytes(const Decoder& decoder)
{
    const auto size = [](const LinearLayer& layer) { return std::uint64_t {layer.outputs} * layer.inputs; };
    const auto sizes = [&](const JoinedLayers& layers) {
        return std::accumulate(layers.begin(), layers.end(), std::uint64_t {0},
            [&](std::uint64_t sum, const LinearLayer& layer) { return sum + size(layer); });
    };
    std::uint64_t largest = 0;
    for (const auto& block : decoder.blocks) {
        largest = std::max(largest, sizes(block.attention.queryKeyValue) + size(block.attention.output));
        const auto& part = block.feedForward;
        if (part.dense)
            largest = std::max(largest, sizes(part.dense->gateUp) + size(part.dense->down));
        for (const auto& expert : part.experts)
            largest = std::max(largest, sizes(expert.gateUp) + size(expert.down));
    }
    return largest * sizeof(float);
}

}  // namespace quantloupe
