// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/allocation/local_search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <utility>

namespace quantloupe {
namespace {

/// Moves of each kind that are combined: a million pairs take some hundredths of a second.
constexpr std::size_t mostMoves = 1000;

}  // namespace

LocalSearch::LocalSearch(LimitedClasses limited, Choice start, double measured)
    : m_limited(std::move(limited))
    , m_best(std::move(start))
    , m_leastError(measured)
    , m_measured {m_best}
{
    const double predicted = estimate(m_best);
    if (!(predicted > 0.0) || !(measured > 0.0))
        return;
    for (auto& options : m_limited.classes)
        for (auto& option : options)
            option.cost *= measured / predicted;
}

double LocalSearch::estimate(const Choice& choice) const
{
    double error = 0.0;
    for (std::size_t i = 0; i < choice.size(); ++i)
        error += m_limited.classes[i][choice[i]].cost;
    return error;
}

double LocalSearch::weightOf(const Choice& choice) const
{
    double weight = 0.0;
    for (std::size_t i = 0; i < choice.size(); ++i)
        weight += m_limited.classes[i][choice[i]].weight;
    return weight;
}

std::vector<LocalSearch::Move> LocalSearch::movesFrom(const Choice& choice) const
{
    std::vector<Move> moves;
    for (std::uint32_t group = 0; group < choice.size(); ++group) {
        const auto& options = m_limited.classes[group];
        const auto& from = options[choice[group]];
        for (std::uint32_t option = 0; option < options.size(); ++option)
            if (option != choice[group])
                moves.push_back(
                    {group, option, options[option].weight - from.weight, options[option].cost - from.cost});
    }
    return moves;
}

/// The move, or the two of different groups, that save most and fit.
std::optional<LocalSearch::Choice> LocalSearch::bestSwap() const
{
    auto moves = movesFrom(m_best);
    const auto firstDown =
        std::partition(moves.begin(), moves.end(), [](const Move& move) { return move.weight > 0.0; });
    const auto leastError = [](const Move& a, const Move& b) {
        return std::tie(a.error, a.group, a.option) < std::tie(b.error, b.group, b.option);
    };
    std::vector<Move> up(moves.begin(), firstDown), down(firstDown, moves.end());
    for (auto* kind : {&up, &down}) {
        std::sort(kind->begin(), kind->end(), leastError);
        kind->resize(std::min(kind->size(), mostMoves));
    }
    constexpr Move none {.group = std::numeric_limits<std::uint32_t>::max()};
    up.push_back(none);
    down.push_back(none);
    const double room = m_limited.room - weightOf(m_best);
    std::optional<Choice> best;
    double least = std::numeric_limits<double>::infinity();
    for (const auto& larger : up)
        for (const auto& smaller : down) {
            const double error = larger.error + smaller.error;
            if (larger.group == smaller.group || error >= least || larger.weight + smaller.weight > room)
                continue;
            auto choice = m_best;
            for (const auto& move : {larger, smaller})
                if (move.group != none.group)
                    choice[move.group] = move.option;
            if (m_measured.contains(choice))
                continue;
            least = error;
            best = std::move(choice);
        }
    return best;
}

std::optional<LocalSearch::Choice> LocalSearch::next() const
{
    auto swap = bestSwap();
    const auto anew = solveKnapsack(m_limited.classes, m_limited.room);
    if (anew && !m_measured.contains(anew->choice) && (!swap || anew->cost < estimate(*swap)))
        return anew->choice;
    return swap;
}

void LocalSearch::learn(const Choice& choice, double measured)
{
    m_measured.insert(choice);
    const double beyond = (measured - m_leastError) - (estimate(choice) - estimate(m_best));
    std::size_t changed = 0;
    for (std::size_t i = 0; i < choice.size(); ++i)
        changed += choice[i] != m_best[i] ? 1 : 0;
    // The smallest change of the errors that explains what was measured: shared by what was taken and what was left.
    for (std::size_t i = 0; i < choice.size(); ++i)
        if (choice[i] != m_best[i]) {
            const double share = beyond / (2.0 * static_cast<double>(changed));
            m_limited.classes[i][choice[i]].cost += share;
            m_limited.classes[i][m_best[i]].cost -= share;
        }
    if (measured < m_leastError) {
        m_leastError = measured;
        m_best = choice;
    }
}

}  // namespace quantloupe
