// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/code_counts.h"

#include <algorithm>
#include <array>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/code_counts.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR

// Of so few codes each is compared with every weight's, a vector of bytes at a time; more are counted one by one.
constexpr std::size_t fewCodes = 16;

// Adds how often `first` and the three codes after it occur. @pre count fills whole vectors
template<class D>
HWY_INLINE void countFour(
    D d, const std::uint8_t* HWY_RESTRICT bytes, std::size_t count, std::size_t first, std::uint32_t* totals)
{
    const auto code = [&](std::size_t k) HWY_ATTR { return hn::Set(d, static_cast<std::uint8_t>(first + k)); };
    const auto a = code(0), b = code(1), c = code(2), e = code(3);
    auto countA = hn::Zero(d), countB = countA, countC = countA, countE = countA;
    for (std::size_t i = 0; i < count; i += hn::Lanes(d)) {
        const auto codes = hn::Load(d, bytes + i);
        countA = hn::Sub(countA, hn::VecFromMask(d, hn::Eq(codes, a)));
        countB = hn::Sub(countB, hn::VecFromMask(d, hn::Eq(codes, b)));
        countC = hn::Sub(countC, hn::VecFromMask(d, hn::Eq(codes, c)));
        countE = hn::Sub(countE, hn::VecFromMask(d, hn::Eq(codes, e)));
    }
    // Side by side in 16 bits each, which hold what a block can have of one code.
    const hn::Repartition<std::uint64_t, D> wide;
    const auto lower = hn::Or(hn::SumsOf8(countA), hn::ShiftLeft<16>(hn::SumsOf8(countB)));
    const auto upper = hn::Or(hn::ShiftLeft<32>(hn::SumsOf8(countC)), hn::ShiftLeft<48>(hn::SumsOf8(countE)));
    const std::uint64_t all = hn::GetLane(hn::SumOfLanes(wide, hn::Or(lower, upper)));
    for (std::size_t k = 0; k < 4; ++k)
        totals[first + k] += static_cast<std::uint32_t>(all >> 16 * k & 0xFFFFU);
}

// Adds as many codes as fill whole vectors of bytes. Returns how many that were.
std::size_t countFew(
    const std::uint32_t* HWY_RESTRICT codes, std::size_t count, std::size_t used, std::uint32_t* totals)
{
    const hn::ScalableTag<std::uint8_t> d;
    const hn::Repartition<std::uint32_t, decltype(d)> longs;
    constexpr std::size_t lanes = hn::MaxLanes(d), quarter = hn::MaxLanes(longs);
    constexpr std::size_t block = HWY_MIN(128 * lanes, 4'096);  // a byte of each lane counts as many
    HWY_ALIGN std::uint8_t bytes[block];
    std::size_t done = 0;
    while (done + lanes <= count) {
        const std::size_t part = HWY_MIN(block, (count - done) / lanes * lanes);
        for (std::size_t i = 0; i < part; i += lanes) {
            const auto some = [&](std::size_t k) HWY_ATTR { return hn::LoadU(longs, codes + done + i + k * quarter); };
            // In any order: they are only counted.
            const auto lower = hn::Or(some(0), hn::ShiftLeft<8>(some(1)));
            const auto upper = hn::Or(hn::ShiftLeft<16>(some(2)), hn::ShiftLeft<24>(some(3)));
            hn::Store(hn::BitCast(d, hn::Or(lower, upper)), d, bytes + i);
        }
        for (std::size_t first = 0; first < used; first += 4)
            countFour(d, bytes, part, first, totals);
        done += part;
    }
    return done;
}

#endif

void CountCodes(const std::uint32_t* HWY_RESTRICT codes, std::size_t count, std::uint32_t* counts, std::size_t used)
{
    std::size_t i = 0;
#if HWY_TARGET != HWY_SCALAR
    if (used <= fewCodes) {
        std::array<std::uint32_t, fewCodes> few {};
        i = countFew(codes, count, used, few.data());
        for (std::size_t code = 0; code < used; ++code)
            counts[code] += few[code];
    }
#endif
    if (count - i >= 4) {
        // Neighbours in tables of their own: a counter that has just been stored is slow to load.
        std::array<std::array<std::uint32_t, mostCountedCodes>, 4> tables;
        for (auto& table : tables)
            std::fill_n(table.begin(), used, 0U);
        for (; i + 4 <= count; i += 4) {
            ++tables[0][codes[i]];
            ++tables[1][codes[i + 1]];
            ++tables[2][codes[i + 2]];
            ++tables[3][codes[i + 3]];
        }
        for (std::size_t code = 0; code < used; ++code)
            counts[code] += tables[0][code] + tables[1][code] + tables[2][code] + tables[3][code];
    }
    for (; i < count; ++i)
        ++counts[codes[i]];
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(CountCodes);

void countCodes(std::span<const std::uint32_t> codes, std::span<std::uint32_t> counts)
{
    HWY_DYNAMIC_DISPATCH(CountCodes)(codes.data(), codes.size(), counts.data(), counts.size());
}

void countCodesReference(std::span<const std::uint32_t> codes, std::span<std::uint32_t> counts)
{
    for (const auto code : codes)
        ++counts[code];
}

}  // namespace quantloupe::kernels
#endif
