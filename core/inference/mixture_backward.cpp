// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/inference/mixture_backward.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace quantloupe {
namespace {

/// Of tokens of a sequence, in their order, that go to an expert: a forward pass takes those of each tile by
/// themselves.
TileRows tileRowsOf(std::span<const std::size_t> tokens)
{
    TileRows tiles;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        if (i == 0 || tokens[i] / tokensPerTile != tokens[i - 1] / tokensPerTile)
            tiles.push_back(0);
        ++tiles.back();
    }
    return tiles;
}

}  // namespace

MixtureStep::MixtureStep(
    const BlockRun& run, const FeedForwardPart& part, const LoadedFeedForward& loaded, SequenceGradients& gradients)
    : m_run(run)
    , m_decoder(run.decoder)
    , m_part(part)
    , m_loaded(loaded)
    , m_gradients(gradients)
    , m_router(run, std::span(&*part.router, 1), loaded.router, gradients)
{
    if (part.sharedGate)
        m_sharedGate.emplace(run, std::span(&*part.sharedGate, 1), loaded.sharedGate, gradients);
}

void MixtureStep::visit(const GatedLayers& layers, const LoadedGated& loaded, std::vector<std::size_t> rows,
    std::vector<std::size_t> routes, std::vector<float> weights, kernels::MutableMatrix result)
{
    const auto hidden = m_decoder.hidden;
    auto& visit = m_visits.emplace_back(Visit {.rows = std::move(rows),
        .routes = std::move(routes),
        .weights = std::move(weights),
        .pass = GatedPass(m_run, layers, loaded, m_gradients)});
    visit.inputs = m_gradients.keepUnset(visit.rows.size(), hidden);
    for (std::size_t i = 0; i < visit.rows.size(); ++i)
        std::copy_n(m_inputs.row(visit.rows[i]), hidden, visit.inputs.row(i));
    visit.outputs.resize(visit.rows.size() * hidden);
    visit.pass.run(visit.inputs, tileRowsOf(visit.rows), {visit.outputs.data(), visit.rows.size(), hidden, hidden});
    for (std::size_t i = 0; i < visit.rows.size(); ++i)
        for (std::size_t channel = 0; channel < hidden; ++channel)
            result.row(visit.rows[i])[channel] += visit.weights[i] * visit.outputs[(i * hidden) + channel];
}

void MixtureStep::run(kernels::ConstMatrix inputs, kernels::MutableMatrix result)
{
    m_inputs = inputs;
    const auto tokens = inputs.rows, experts = m_loaded.router.outputs, chosen = m_decoder.expertsPerToken;
    m_probabilities.resize(tokens * experts);
    m_routes.resize(tokens * chosen);
    const auto tiles = tileRowsOf(tokens);
    m_router.run(inputs, tiles, {m_probabilities.data(), tokens, experts, experts});
    for (std::size_t token = 0; token < tokens; ++token)
        chooseExperts(std::span(m_probabilities).subspan(token * experts, experts), m_decoder.normalizesExperts,
            std::span(m_routes).subspan(token * chosen, chosen));
    for (std::size_t expert = 0; expert < experts; ++expert) {
        std::vector<std::size_t> rows, routes;
        std::vector<float> weights;
        for (std::size_t i = 0; i < m_routes.size(); ++i)
            if (m_routes[i].expert == expert) {
                rows.push_back(i / chosen);
                routes.push_back(i);
                weights.push_back(m_routes[i].weight);
            }
        if (!rows.empty())
            visit(m_part.experts[expert], m_loaded.experts[expert], std::move(rows), std::move(routes),
                std::move(weights), result);
    }
    if (!m_part.dense)
        return;
    m_shares.assign(tokens, 1.0F);
    if (m_sharedGate) {
        m_sharedGate->run(inputs, tiles, {m_shares.data(), tokens, 1, 1});
        for (auto& share : m_shares)
            share = 1.0F / (1.0F + std::exp(-share));
    }
    std::vector<std::size_t> all(tokens);
    std::iota(all.begin(), all.end(), std::size_t {0});
    visit(*m_part.dense, m_loaded.dense, std::move(all), {}, m_shares, result);
}

std::vector<float> MixtureStep::leave(
    Visit& visit, kernels::ConstMatrix resultGradient, kernels::MutableMatrix inputGradient)
{
    const auto hidden = m_decoder.hidden;
    const auto count = visit.rows.size();
    std::vector<float> byWeights(count);
    const auto outputs = m_gradients.keepUnset(count, hidden);
    for (std::size_t i = 0; i < count; ++i) {
        const float* given = resultGradient.row(visit.rows[i]);
        double along = 0.0;
        for (std::size_t channel = 0; channel < hidden; ++channel) {
            along += static_cast<double>(given[channel]) * static_cast<double>(visit.outputs[(i * hidden) + channel]);
            outputs.row(i)[channel] = visit.weights[i] * given[channel];
        }
        byWeights[i] = static_cast<float>(along);
    }
    std::vector<float> back(count * hidden);
    const kernels::MutableMatrix rows {back.data(), count, hidden, hidden};
    visit.pass.runBackward(outputs, rows);
    for (std::size_t i = 0; i < count; ++i)
        for (std::size_t channel = 0; channel < hidden; ++channel)
            inputGradient.row(visit.rows[i])[channel] += rows.row(i)[channel];
    return byWeights;
}

void MixtureStep::routeBackward(std::span<const float> weightGradients, kernels::MutableMatrix inputGradient)
{
    const auto tokens = m_inputs.rows, experts = m_loaded.router.outputs, chosen = m_decoder.expertsPerToken;
    const auto scores = m_gradients.keepUnset(tokens, experts);
    for (std::size_t token = 0; token < tokens; ++token) {
        const auto probabilities = std::span(m_probabilities).subspan(token * experts, experts);
        const auto routes = std::span(m_routes).subspan(token * chosen, chosen);
        const auto given = weightGradients.subspan(token * chosen, chosen);
        std::vector<double> byProbability(experts, 0.0);
        double sum = 0.0, along = 0.0;
        for (std::size_t i = 0; i < chosen; ++i) {
            sum += static_cast<double>(probabilities[routes[i].expert]);
            along += static_cast<double>(given[i]) * static_cast<double>(routes[i].weight);
        }
        for (std::size_t i = 0; i < chosen; ++i)
            byProbability[routes[i].expert] = m_decoder.normalizesExperts
                ? (static_cast<double>(given[i]) - along) / sum
                : static_cast<double>(given[i]);
        double mean = 0.0;
        for (std::size_t expert = 0; expert < experts; ++expert)
            mean += static_cast<double>(probabilities[expert]) * byProbability[expert];
        for (std::size_t expert = 0; expert < experts; ++expert)
            scores.row(token)[expert] =
                static_cast<float>(static_cast<double>(probabilities[expert]) * (byProbability[expert] - mean));
    }
    m_router.runBackward(scores, inputGradient);
}

void MixtureStep::shareBackward(std::span<const float> weightGradients, kernels::MutableMatrix inputGradient)
{
    const auto scores = m_gradients.keepUnset(m_inputs.rows, 1);
    for (std::size_t token = 0; token < m_inputs.rows; ++token)
        scores.row(token)[0] = weightGradients[token] * m_shares[token] * (1.0F - m_shares[token]);
    m_sharedGate->runBackward(scores, inputGradient);
}

void MixtureStep::runBackward(kernels::ConstMatrix resultGradient, kernels::MutableMatrix inputGradient)
{
    std::vector<float> byRoutes(m_routes.size());
    for (auto visit = m_visits.rbegin(); visit != m_visits.rend(); ++visit) {
        const auto byWeights = leave(*visit, resultGradient, inputGradient);
        for (std::size_t i = 0; i < visit->routes.size(); ++i)
            byRoutes[visit->routes[i]] = byWeights[i];
        if (visit->routes.empty() && m_sharedGate)
            shareBackward(byWeights, inputGradient);
    }
    routeBackward(byRoutes, inputGradient);
}

}  // namespace quantloupe
