// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/memory_read.h"

#include <cassert>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/memory_read.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

std::uint32_t ReadAll(const std::uint32_t* words, std::size_t count)
{
    const hn::ScalableTag<std::uint32_t> d;
    const std::size_t stream = count / 4 / hn::Lanes(d) * hn::Lanes(d);
    auto a = hn::Zero(d), b = a, c = a, e = a;
    for (std::size_t i = 0; i < stream; i += hn::Lanes(d)) {
        a = hn::Xor(a, hn::LoadU(d, words + i));
        b = hn::Xor(b, hn::LoadU(d, words + stream + i));
        c = hn::Xor(c, hn::LoadU(d, words + 2 * stream + i));
        e = hn::Xor(e, hn::LoadU(d, words + 3 * stream + i));
    }
    std::uint32_t sum = hn::GetLane(hn::SumOfLanes(d, hn::Xor(hn::Xor(a, b), hn::Xor(c, e))));
    for (std::size_t i = 4 * stream; i < count; ++i)
        sum += words[i];
    return sum;
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(ReadAll);

std::uint32_t readMemory(std::span<const std::byte> bytes)
{
    assert(reinterpret_cast<std::uintptr_t>(bytes.data()) % alignof(std::uint32_t) == 0 && bytes.size() % 4 == 0);
    return HWY_DYNAMIC_DISPATCH(ReadAll)(reinterpret_cast<const std::uint32_t*>(bytes.data()), bytes.size() / 4);
}

}  // namespace quantloupe::kernels
#endif
