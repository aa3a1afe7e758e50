// SPDX-License-Identifier: GPL-3.0-or-later
// Included once per instruction set.
#if defined(QUANTLOUPE_POWER_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTLOUPE_POWER_INL
#undef QUANTLOUPE_POWER_INL
#else
#define QUANTLOUPE_POWER_INL
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// x^2.4 for x ≥ 0. x = m·2^k with m in [1, 2): m^2.4 is a polynomial in m − 1.5 (fitted for relative error, 2.2e-8);
// 2^(2.4k) = 2^n · 2^(j/5) with whole n nearest to 2.4k, so that j = 12k − 5n is one of −2 … 2 and exact, and 2^(j/5)
// the quartic through those five points. Zero and denormals give 0.
template<class D, class V = hn::Vec<D>>
HWY_INLINE V powerOf(D d, V x)
{
    const hn::RebindToSigned<D> di;
    const auto bits = hn::BitCast(di, x);
    const auto k = hn::ConvertTo(d, hn::Sub(hn::ShiftRight<23>(bits), hn::Set(di, 127)));
    const auto one = hn::Set(d, 1.0F);
    const V m = hn::Or(hn::BitCast(d, hn::And(bits, hn::Set(di, 0x007FFFFF))), one);
    const V t = hn::Sub(m, hn::Set(d, 1.5F));
    V mantissa = hn::Set(d, -0.0012575434520840645F);
    mantissa = hn::MulAdd(mantissa, t, hn::Set(d, 0.003908349201083183F));
    mantissa = hn::MulAdd(mantissa, t, hn::Set(d, -0.0175139382481575F));
    mantissa = hn::MulAdd(mantissa, t, hn::Set(d, 0.17560899257659912F));
    mantissa = hn::MulAdd(mantissa, t, hn::Set(d, 1.9758087396621704F));
    mantissa = hn::MulAdd(mantissa, t, hn::Set(d, 4.233884811401367F));
    mantissa = hn::MulAdd(mantissa, t, hn::Set(d, 2.6461777687072754F));

    // Bounded so that a zero ends at exponent field 0. Added to 1.5·2²³, n stands in the last bits of the sum.
    const auto magic = hn::Set(d, 12582912.0F);
    const V bounded = hn::Min(hn::Max(hn::Mul(k, hn::Set(d, 2.4F)), hn::Set(d, -127.0F)), hn::Set(d, 127.0F));
    const V sum = hn::Add(bounded, magic);
    const V n = hn::Sub(sum, magic);
    const V j = hn::Sub(hn::Mul(k, hn::Set(d, 12.0F)), hn::Mul(n, hn::Set(d, 5.0F)));
    V fifth = hn::Set(d, 1.5438369e-05F);
    fifth = hn::MulAdd(fifth, j, hn::Set(d, 4.4617034e-04F));
    fifth = hn::MulAdd(fifth, j, hn::Set(d, 9.6090208e-03F));
    fifth = hn::MulAdd(fifth, j, hn::Set(d, 0.13862773F));
    fifth = hn::MulAdd(fifth, j, one);

    const auto exponent = hn::Add(hn::BitCast(di, sum), hn::Set(di, 127));
    return hn::Mul(hn::Mul(mantissa, fifth), hn::BitCast(d, hn::ShiftLeft<23>(exponent)));
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
