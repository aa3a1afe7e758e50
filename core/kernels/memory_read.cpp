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

// Four vectors at a time; `apart`: how many words lie between them.
std::uint32_t ReadApart(const std::uint32_t* words, std::size_t count, std::size_t apart, std::size_t step)
{
    const hn::ScalableTag<std::uint32_t> d;
    auto a = hn::Zero(d), b = a, c = a, e = a;
    for (std::size_t i = 0; i + 3 * apart + hn::Lanes(d) <= count; i += step) {
        a = hn::Xor(a, hn::LoadU(d, words + i));
        b = hn::Xor(b, hn::LoadU(d, words + apart + i));
        c = hn::Xor(c, hn::LoadU(d, words + 2 * apart + i));
        e = hn::Xor(e, hn::LoadU(d, words + 3 * apart + i));
    }
    // Lane by lane: a sum over lanes adds signed numbers on some targets, which may not overflow.
    HWY_ALIGN std::uint32_t lanes[hn::MaxLanes(d)];
    hn::Store(hn::Xor(hn::Xor(a, b), hn::Xor(c, e)), d, lanes);
    std::uint32_t sum = 0;
    for (const auto lane : lanes)
        sum += lane;
    return sum;
}

std::uint32_t ReadAll(const std::uint32_t* words, std::size_t count, bool streams)
{
    const std::size_t lanes = hn::Lanes(hn::ScalableTag<std::uint32_t>());
    const std::size_t whole = count / (4 * lanes) * (4 * lanes);
    std::uint32_t sum = streams ? ReadApart(words, whole, whole / 4, lanes) : ReadApart(words, whole, lanes, 4 * lanes);
    for (std::size_t i = whole; i < count; ++i)
        sum += words[i];
    return sum;
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(ReadAll);

namespace {

std::uint32_t readAll(std::span<const std::byte> bytes, bool streams)
{
    assert(reinterpret_cast<std::uintptr_t>(bytes.data()) % alignof(std::uint32_t) == 0 && bytes.size() % 4 == 0);
    return HWY_DYNAMIC_DISPATCH(ReadAll)(
        reinterpret_cast<const std::uint32_t*>(bytes.data()), bytes.size() / 4, streams);
}

}  // namespace

std::uint32_t readMemory(std::span<const std::byte> bytes)
{
    return readAll(bytes, false);
}

std::uint32_t readMemoryInStreams(std::span<const std::byte> bytes)
{
    return readAll(bytes, true);
}

}  // namespace quantloupe::kernels
#endif
