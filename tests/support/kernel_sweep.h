// SPDX-License-Identifier: GPL-3.0-or-later
// Runs kernels on every instruction set this machine and this build have, on weights that are hard to get right.
#pragma once

#include <hwy/targets.h>

#include <QTest>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <vector>

namespace quantloupe::tests {

/// While it lives, kernels run on one target only.
class TargetScope
{
public:
    explicit TargetScope(std::int64_t target)
    {
        hwy::SetSupportedTargetsForTest(target);
        hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    }
    TargetScope(const TargetScope&) = delete;
    TargetScope& operator=(const TargetScope&) = delete;
    ~TargetScope()
    {
        hwy::SetSupportedTargetsForTest(0);
        hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    }
};

/// Adds one row per target, length and misalignment: columns "target", "count", "shift".
inline void addTargetRows(std::initializer_list<int> counts)
{
    QTest::addColumn<qint64>("target");
    QTest::addColumn<int>("count");
    QTest::addColumn<int>("shift");
    for (const auto target : hwy::SupportedAndGeneratedTargets())
        for (const int count : counts)
            for (const int shift : {0, 1, 3})
                QTest::addRow("%s n=%d +%d", hwy::TargetName(target), count, shift) << qint64(target) << count << shift;
}

enum class Content { Weights, Awkward };

/// `count` floats behind `shift` others, so that vectors start off their alignment.
class Samples
{
public:
    Samples(int count, int shift, Content content, unsigned seed = 1)
        : m_storage(std::size_t(count + shift))
        , m_shift(std::size_t(shift))
    {
        std::mt19937 random(20240U + unsigned(count) * 31U + seed);
        std::normal_distribution<float> weight(0.0F, 0.02F);
        const float infinity = std::numeric_limits<float>::infinity();
        const float specials[] = {0.0F, -0.0F, infinity, -infinity, std::nanf(""), -std::nanf("7"), 1e-45F, -1e-45F,
            1e-40F, -3e-39F, 1.1754944e-38F, 3.4028235e38F, -3.4028235e38F, 1e30F, -1e20F, 0.5F, 1.5F, -2.5F, 448.0F,
            464.0F, 65504.0F, 65520.0F, 1e-7F};
        for (auto& value : m_storage) {
            value = weight(random);
            if (content == Content::Awkward && random() % 4 == 0)
                value = specials[random() % std::size(specials)];
            else if (content == Content::Awkward && random() % 8 == 0)
                value = std::bit_cast<float>(std::uint32_t(random()));
        }
    }

    std::span<float> values() { return std::span(m_storage).subspan(m_shift); }
    std::span<const float> values() const { return std::span(m_storage).subspan(m_shift); }

private:
    std::vector<float> m_storage;
    std::size_t m_shift;
};

/// Whether two floats or doubles have the same bits, or both are NaN: which one is all the same.
template<class T>
bool isSameNumber(T a, T b)
{
    return (a == b && std::signbit(a) == std::signbit(b)) || (std::isnan(a) && std::isnan(b));
}

/// Index of the first element whose bits differ; -1 if none does.
template<class T>
std::ptrdiff_t firstDifference(std::span<const T> a, std::span<const T> b)
{
    if (a.size() != b.size())
        return 0;
    for (std::size_t i = 0; i < a.size(); ++i)
        if (std::bit_cast<std::uint32_t>(a[i]) != std::bit_cast<std::uint32_t>(b[i]))
            return std::ptrdiff_t(i);
    return -1;
}

template<class T>
std::ptrdiff_t firstDifference(const std::vector<T>& a, const std::vector<T>& b)
{
    return firstDifference(std::span<const T>(a), std::span<const T>(b));
}

}  // namespace quantloupe::tests
