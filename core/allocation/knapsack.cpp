// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/allocation/knapsack.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <tuple>

namespace quantloupe {
namespace {

/// An option of a class, by its index there.
struct Candidate {
    std::uint32_t option = 0;
    double weight = 0.0, cost = 0.0;
    double regret = 0.0;  ///< what it is worse than the class's best at the multiplier
};

/// A class without options that a lighter or equal one beats: heavier is cheaper.
using CandidateClass = std::vector<Candidate>;

CandidateClass withoutDominated(const std::vector<KnapsackOption>& options)
{
    CandidateClass candidates;
    for (std::uint32_t i = 0; i < options.size(); ++i)
        candidates.push_back({i, options[i].weight, options[i].cost});
    std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
        return std::tie(a.weight, a.cost, a.option) < std::tie(b.weight, b.cost, b.option);
    });
    CandidateClass kept;
    for (const auto& candidate : candidates)
        if (kept.empty() || candidate.cost < kept.back().cost)
            kept.push_back(candidate);
    return kept;
}

/// Going from one option of a class to a heavier one, along the lower convex hull of its options.
struct HullStep {
    double slope = 0.0;  ///< cost saved per weight
    std::size_t owner = 0, from = 0, to = 0;
};

void appendHullSteps(const CandidateClass& candidates, std::size_t owner, std::vector<HullStep>& steps)
{
    const auto first = steps.size();
    const auto slope = [&](std::size_t from, std::size_t to) {
        return (candidates[from].cost - candidates[to].cost) / (candidates[to].weight - candidates[from].weight);
    };
    for (std::size_t to = 1; to < candidates.size(); ++to) {
        std::size_t from = steps.size() == first ? 0 : steps.back().to;
        while (steps.size() > first && steps.back().slope < slope(from, to)) {
            from = steps.back().from;
            steps.pop_back();
        }
        steps.push_back({slope(from, to), owner, from, to});
    }
}

class Search
{
public:
    Search(std::span<const std::vector<KnapsackOption>> classes, double limit, std::size_t mostStates)
        : m_limit(limit)
        , m_mostStates(mostStates)
    {
        m_classes.reserve(classes.size());
        for (const auto& options : classes)
            m_classes.push_back(withoutDominated(options));
        m_best.assign(m_classes.size(), 0);
    }

    std::optional<KnapsackSolution> run()
    {
        if (weightOf(m_best) > m_limit)
            return std::nullopt;
        if (const auto multiplier = fillGreedily()) {
            m_multiplier = *multiplier;
            rankByRegret();
            settle();
        } else {
            m_bound = costOf(m_best);
        }
        return solution();
    }

private:
    /// Options on the way from the root, as a list that shares its beginnings.
    struct State {
        double weight = 0.0, cost = 0.0, regret = 0.0;
        std::uint32_t parent = 0, candidate = 0;
    };

    double weightOf(const std::vector<std::size_t>& choice) const
    {
        double sum = 0.0;
        for (std::size_t i = 0; i < choice.size(); ++i)
            sum += m_classes[i][choice[i]].weight;
        return sum;
    }
    double costOf(const std::vector<std::size_t>& choice) const
    {
        double sum = 0.0;
        for (std::size_t i = 0; i < choice.size(); ++i)
            sum += m_classes[i][choice[i]].cost;
        return sum;
    }

    /// Takes the steps that save most per weight, while they fit. The slope of the first that does not: the multiplier
    /// of the relaxed problem; nullopt: all fit.
    std::optional<double> fillGreedily()
    {
        std::vector<HullStep> steps;
        for (std::size_t i = 0; i < m_classes.size(); ++i)
            appendHullSteps(m_classes[i], i, steps);
        std::stable_sort(
            steps.begin(), steps.end(), [](const HullStep& a, const HullStep& b) { return a.slope > b.slope; });
        std::optional<double> multiplier;
        double weight = weightOf(m_best);
        for (const auto& step : steps) {
            const double added = m_classes[step.owner][step.to].weight - m_classes[step.owner][step.from].weight;
            if (m_best[step.owner] == step.from && weight + added <= m_limit) {
                m_best[step.owner] = step.to;
                weight += added;
            } else if (!multiplier) {
                multiplier = step.slope;
            }
        }
        return multiplier;
    }

    /// Orders the classes so that those with the closest choice come first, and finds the bound.
    void rankByRegret()
    {
        m_bound = -m_multiplier * m_limit;
        for (auto& candidates : m_classes) {
            double least = std::numeric_limits<double>::infinity();
            for (auto& candidate : candidates) {
                candidate.regret = candidate.cost + m_multiplier * candidate.weight;
                least = std::min(least, candidate.regret);
            }
            for (auto& candidate : candidates)
                candidate.regret -= least;
            m_bound += least;
        }
        m_upper = costOf(m_best);
        m_order.resize(m_classes.size());
        std::iota(m_order.begin(), m_order.end(), std::size_t {0});
        std::vector<double> second(m_classes.size(), std::numeric_limits<double>::infinity());
        for (std::size_t i = 0; i < m_classes.size(); ++i) {
            std::vector<double> regrets;
            for (const auto& candidate : m_classes[i])
                regrets.push_back(candidate.regret);
            std::sort(regrets.begin(), regrets.end());
            if (regrets.size() > 1)
                second[i] = regrets[1];
        }
        std::stable_sort(
            m_order.begin(), m_order.end(), [&](std::size_t a, std::size_t b) { return second[a] < second[b]; });
    }

    /// Rounding of sums must not cut the optimum.
    double slack() const { return 1e-12 * (std::abs(m_upper) + std::abs(m_bound) + std::abs(m_multiplier * m_limit)); }
    bool isHopeless(double regret) const { return m_bound + regret > m_upper + slack(); }

    /// Weights and costs of the best options of all classes from a place in the order on.
    struct Rest {
        double weight = 0.0, cost = 0.0;  ///< of the options of no regret
        double lightest = 0.0, heaviest = 0.0;
    };

    std::vector<Rest> restsFrom() const
    {
        std::vector<Rest> rests(m_order.size() + 1);
        for (std::size_t place = m_order.size(); place-- > 0;) {
            const auto& candidates = m_classes[m_order[place]];
            const auto best = std::min_element(candidates.begin(), candidates.end(),
                [](const Candidate& a, const Candidate& b) { return a.regret < b.regret; });
            const auto& after = rests[place + 1];
            rests[place] = {after.weight + best->weight, after.cost + best->cost,
                after.lightest + candidates.front().weight, after.heaviest + candidates.back().weight};
        }
        return rests;
    }

    /// Dynamic programming over the classes in order; states that cannot become better than the best known are dropped.
    void settle()
    {
        const auto rests = restsFrom();
        std::vector<std::vector<State>> layers {{State {}}};
        std::size_t seen = 0;
        for (std::size_t place = 0; place < m_order.size(); ++place) {
            layers.push_back(extend(layers.back(), m_classes[m_order[place]], rests[place + 1]));
            improve(layers, rests[place + 1]);
            seen += std::max(m_extended, layers.back().size());
            if (seen > m_mostStates) {
                m_optimal = false;
                return;
            }
        }
        m_bound = m_upper;
    }

    std::vector<State> extend(const std::vector<State>& before, const CandidateClass& candidates, const Rest& rest)
    {
        std::vector<State> states;
        for (std::uint32_t parent = 0; parent < before.size() && states.size() <= m_mostStates; ++parent)
            for (std::uint32_t c = 0; c < candidates.size(); ++c) {
                const State state {before[parent].weight + candidates[c].weight,
                    before[parent].cost + candidates[c].cost, before[parent].regret + candidates[c].regret, parent, c};
                // What the heaviest end leaves unused of the limit costs, too.
                const double unused = std::max(0.0, m_limit - state.weight - rest.heaviest);
                if (state.weight + rest.lightest <= m_limit && !isHopeless(state.regret + m_multiplier * unused))
                    states.push_back(state);
            }
        std::sort(states.begin(), states.end(), [](const State& a, const State& b) {
            return std::tie(a.weight, a.cost, a.parent, a.candidate)
                < std::tie(b.weight, b.cost, b.parent, b.candidate);
        });
        m_extended = states.size();
        std::size_t kept = 0;
        for (const auto& state : states)
            if (kept == 0 || state.cost < states[kept - 1].cost)
                states[kept++] = state;
        states.resize(kept);
        return states;
    }

    /// Tries to complete each state of the last layer by what is best at the multiplier.
    void improve(const std::vector<std::vector<State>>& layers, const Rest& rest)
    {
        const auto& states = layers.back();
        std::optional<std::size_t> better;
        for (std::size_t i = 0; i < states.size(); ++i)
            if (states[i].weight + rest.weight <= m_limit && states[i].cost + rest.cost < m_upper) {
                m_upper = states[i].cost + rest.cost;
                better = i;
            }
        if (!better)
            return;
        for (std::size_t place = layers.size() - 1; place < m_order.size(); ++place) {
            const auto& candidates = m_classes[m_order[place]];
            m_best[m_order[place]] =
                static_cast<std::size_t>(std::min_element(candidates.begin(), candidates.end(),
                                             [](const Candidate& a, const Candidate& b) { return a.regret < b.regret; })
                    - candidates.begin());
        }
        for (std::size_t place = layers.size() - 1, state = *better; place-- > 0;) {
            m_best[m_order[place]] = layers[place + 1][state].candidate;
            state = layers[place + 1][state].parent;
        }
    }

    KnapsackSolution solution() const
    {
        KnapsackSolution solution {
            .weight = weightOf(m_best), .cost = costOf(m_best), .bound = m_bound, .optimal = m_optimal};
        for (std::size_t i = 0; i < m_best.size(); ++i)
            solution.choice.push_back(m_classes[i][m_best[i]].option);
        return solution;
    }

    std::vector<CandidateClass> m_classes;
    double m_limit;
    std::size_t m_mostStates;
    std::vector<std::size_t> m_best, m_order;
    double m_multiplier = 0.0, m_bound = 0.0, m_upper = 0.0;
    std::size_t m_extended = 0;  ///< states of the last layer, before equals were dropped
    bool m_optimal = true;
};

}  // namespace

std::optional<KnapsackSolution> solveKnapsack(
    std::span<const std::vector<KnapsackOption>> classes, double limit, std::size_t mostStates)
{
    return Search(classes, limit, mostStates).run();
}

}  // namespace quantloupe
