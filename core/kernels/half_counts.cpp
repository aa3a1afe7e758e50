// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/half_counts.h"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/half_counts.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/cache_control.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr std::size_t bytesAhead = 4'096;

HWY_INLINE std::uint16_t patternAt(const std::byte* row, std::size_t i)
{
    std::uint16_t pattern = 0;
    std::memcpy(&pattern, row + 2 * i, sizeof pattern);
    return pattern;
}

// Loaded four at a time: counters keep the units for memory busy enough.
template<std::size_t patterns>
HWY_INLINE void countPatterns(const std::byte* HWY_RESTRICT row, std::uint32_t* HWY_RESTRICT counts)
{
    std::size_t i = 0;
#pragma GCC unroll 16
    for (; i + 4 <= patterns; i += 4) {
        std::uint64_t four = 0;
        std::memcpy(&four, row + 2 * i, sizeof four);
        ++counts[four & 0xFFFFU];
        ++counts[four >> 16U & 0xFFFFU];
        ++counts[four >> 32U & 0xFFFFU];
        ++counts[four >> 48U];
    }
    for (; i < patterns; ++i)
        ++counts[patternAt(row, i)];
}

std::uint16_t Count(const std::byte* HWY_RESTRICT row, std::size_t count, std::uint16_t infinity,
    std::uint32_t* HWY_RESTRICT counts, std::uint16_t* HWY_RESTRICT columns)
{
    const hn::ScalableTag<std::uint16_t> d;
    constexpr std::size_t lanes = hn::MaxLanes(d);
    const auto unsign = hn::Set(d, 0x7FFF), limit = hn::Set(d, infinity);
    auto largest = hn::Zero(d);
    std::size_t i = 0;
    for (; i + lanes <= count; i += lanes) {
        const std::byte* at = row + 2 * i;
        hwy::Prefetch(at + bytesAhead);
        const auto patterns = hn::LoadU(d, reinterpret_cast<const std::uint16_t*>(at));
        const auto sizes = hn::And(patterns, unsign);
        const auto finite = hn::IfThenElseZero(hn::Lt(sizes, limit), sizes);
        largest = hn::Max(largest, finite);
        hn::StoreU(hn::Max(hn::LoadU(d, columns + i), finite), d, columns + i);
        countPatterns<lanes>(at, counts);
    }
    std::uint16_t most = hn::GetLane(hn::MaxOfLanes(d, largest));
    for (; i < count; ++i) {
        const std::uint16_t pattern = patternAt(row, i);
        ++counts[pattern];
        const auto size = static_cast<std::uint16_t>(pattern & 0x7FFFU);
        if (size < infinity) {
            most = HWY_MAX(most, size);
            columns[i] = HWY_MAX(columns[i], size);
        }
    }
    return most;
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(Count);

std::uint16_t countHalves(std::span<const std::byte> row, std::uint16_t infinity, std::span<std::uint32_t> counts,
    std::span<std::uint16_t> columnAbsMax)
{
    return HWY_DYNAMIC_DISPATCH(Count)(row.data(), columnAbsMax.size(), infinity, counts.data(), columnAbsMax.data());
}

std::uint16_t countHalvesReference(std::span<const std::byte> row, std::uint16_t infinity,
    std::span<std::uint32_t> counts, std::span<std::uint16_t> columnAbsMax)
{
    std::uint16_t most = 0;
    for (std::size_t i = 0; i < columnAbsMax.size(); ++i) {
        const auto pattern =
            std::to_integer<std::uint32_t>(row[2 * i]) | std::to_integer<std::uint32_t>(row[2 * i + 1]) << 8U;
        ++counts[pattern];
        const auto size = static_cast<std::uint16_t>(pattern & 0x7FFFU);
        if (size >= infinity)
            continue;
        most = std::max(most, size);
        columnAbsMax[i] = std::max(columnAbsMax[i], size);
    }
    return most;
}

}  // namespace quantloupe::kernels
#endif
