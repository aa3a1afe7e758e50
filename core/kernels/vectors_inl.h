// SPDX-License-Identifier: GPL-3.0-or-later
// Included once per instruction set.
#if defined(QUANTLOUPE_VECTORS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTLOUPE_VECTORS_INL
#undef QUANTLOUPE_VECTORS_INL
#else
#define QUANTLOUPE_VECTORS_INL
#endif

#include <hwy/highway.h>

#include <cstddef>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A vector that compilers know nothing of. For what they would fold into other instructions, or make a second constant
// of, to no good.
template<class V>
HWY_INLINE V opaque(V v)
{
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128 && (HWY_COMPILER_GCC || HWY_COMPILER_CLANG)
    __asm__("" : "+v"(v.raw));
#endif
    return v;
}

// A vector that is loaded once: compilers read it from memory anew for each instruction that can, and each of those
// waits for one that is on its way.
template<class D>
HWY_INLINE hn::Vec<D> loadedOnce(D d, const float* from)
{
    return opaque(hn::LoadU(d, from));
}

// Calls work(tag, index) for whole vectors, then lane by lane.
template<class Number, class Work>
HWY_INLINE void ForEachVector(std::size_t count, const Work& work)
{
    const hn::ScalableTag<Number> d;
    const hn::CappedTag<Number, 1> one;
    std::size_t i = 0;
    for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d))
        work(d, i);
    for (; i < count; ++i)
        work(one, i);
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
