// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/allocation/verify.h"

#include "core/allocation/local_search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace quantloupe {
namespace {

class Verification
{
public:
    Verification(const Frontier& frontier, const StudySnapshot& study, const AllocationLimit& limit,
        const VerificationEffort& effort, const ChoiceMeasure& measure)
        : m_frontier(frontier)
        , m_study(study)
        , m_limit(limit)
        , m_effort(effort)
        , m_measure(measure)
    {
    }

    Result<VerifiedAllocation> run(const Allocation& allocation)
    {
        if (auto first = tryOut(allocation.choice); !first)
            return tl::unexpected(first.error());
        const bool limitsError = m_limit.kind == AllocationLimit::Kind::TotalError;
        if (goesOn())
            if (auto done = limitsError ? searchSums() : searchSwaps(); !done)
                return tl::unexpected(done.error());
        chooseBest();
        return std::move(m_found);
    }

private:
    using Choice = std::vector<std::uint32_t>;

    Result<void> tryOut(const Choice& choice)
    {
        const auto measured = m_measure(choice);
        if (!measured)
            return tl::unexpected(measured.error());
        m_found.tried.push_back({choice, predictedOf(m_frontier, m_study, choice), *measured});
        return {};
    }

    bool spent() const { return m_found.tried.size() >= m_effort.evaluations; }

    /// Whether the sum is off, the limit is broken, or the user wants it all.
    bool goesOn() const
    {
        const auto& first = m_found.tried.front();
        const bool broken = m_limit.kind == AllocationLimit::Kind::TotalError && first.measured.value > m_limit.value;
        if (broken || !m_effort.onlyWhereItMatters)
            return true;
        const double off = std::abs(first.measured.value - first.predicted.error);
        return off > m_effort.tolerance * first.predicted.error && off > 2.0 * first.measured.standardError;
    }

    Result<void> searchSwaps()
    {
        const auto& first = m_found.tried.front();
        LocalSearch search(limitedClasses(m_frontier, m_study, m_limit), first.choice, first.measured.value);
        while (!spent()) {
            const auto choice = search.next();
            if (!choice)
                break;
            if (auto done = tryOut(*choice); !done)
                return done;
            search.learn(*choice, m_found.tried.back().measured.value);
        }
        return {};
    }

    bool isKnown(const Choice& choice) const
    {
        return std::any_of(m_found.tried.begin(), m_found.tried.end(),
            [&](const TriedChoice& tried) { return tried.choice == choice; });
    }

    /// The sum to allow next: what would do if errors grew as sums do, kept between what is known to do and what not.
    std::optional<double> nextSum() const
    {
        double doing = 0.0, failing = std::numeric_limits<double>::infinity();
        for (const auto& tried : m_found.tried)
            if (tried.measured.value <= m_limit.value)
                doing = std::max(doing, tried.predicted.error);
        for (const auto& tried : m_found.tried)
            if (tried.measured.value > m_limit.value && tried.predicted.error > doing)
                failing = std::min(failing, tried.predicted.error);
        const auto& last = m_found.tried.back();
        if (!(last.measured.value > 0.0) || !(last.predicted.error > 0.0))
            return std::nullopt;
        const double wished = last.predicted.error * m_limit.value / last.measured.value;
        if (wished > doing && wished < failing)
            return wished;
        if (!(doing > 0.0) || !std::isfinite(failing))
            return std::nullopt;
        return std::sqrt(doing * failing);
    }

    Result<void> searchSums()
    {
        while (!spent()) {
            const auto sum = nextSum();
            if (!sum)
                break;
            auto limit = m_limit;
            limit.value = *sum;
            const auto allocation = allocateWithin(m_frontier, m_study, limit);
            if (!allocation || isKnown(allocation->choice))
                break;  // nothing smaller, or nothing between
            if (auto done = tryOut(allocation->choice); !done)
                return done;
        }
        return {};
    }

    void chooseBest()
    {
        const auto& tried = m_found.tried;
        if (m_limit.kind != AllocationLimit::Kind::TotalError) {
            m_found.best = std::size_t(std::min_element(tried.begin(), tried.end(), [](const auto& a, const auto& b) {
                return a.measured.value < b.measured.value;
            }) - tried.begin());
            return;
        }
        const auto rank = [&](const TriedChoice& one) {
            const bool keeps = one.measured.value <= m_limit.value;
            return std::pair {!keeps, keeps ? static_cast<double>(one.predicted.bytes) : one.measured.value};
        };
        m_found.best = std::size_t(std::min_element(tried.begin(), tried.end(), [&](const auto& a, const auto& b) {
            return rank(a) < rank(b);
        }) - tried.begin());
        m_found.met = tried[m_found.best].measured.value <= m_limit.value;
    }

    const Frontier& m_frontier;
    const StudySnapshot& m_study;
    const AllocationLimit& m_limit;
    const VerificationEffort& m_effort;
    const ChoiceMeasure& m_measure;
    VerifiedAllocation m_found {};
};

}  // namespace

Result<VerifiedAllocation> verifyAllocation(const Frontier& frontier, const StudySnapshot& study,
    const AllocationLimit& limit, const Allocation& allocation, const VerificationEffort& effort,
    const ChoiceMeasure& measure)
{
    return Verification(frontier, study, limit, effort, measure).run(allocation);
}

}  // namespace quantloupe
