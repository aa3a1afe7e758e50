// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/least_squares_grid.h"

#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/least_squares_grid.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Units = hn::CappedTag<double, 8>;
using Number = hn::Vec<Units>;

Number Of(double value)
{
    return hn::Set(Units(), value);
}

struct Grids {
    Number scale, minimum;
};

/// Of d, d·w, d·w² and, for the codes at hand, d·q, d·q², d·q·w.
struct Sums {
    Number weight = hn::Zero(Units()), value = hn::Zero(Units()), square = hn::Zero(Units());
    Number code = hn::Zero(Units()), codeSquare = hn::Zero(Units()), product = hn::Zero(Units());
};

/// As many units at once as a vector has lanes.
class Search
{
public:
    Search(const LeastSquaresSearch& search, std::span<const double> importance, const float* weights,
        std::size_t units, Grids start)
        : m_search(search)
        , m_importance(importance)
        , m_weights(weights)
        , m_units(units)
        , m_best(start)
    {
        const hn::Rebind<float, Units> narrow;
        m_low = Of(std::numeric_limits<double>::infinity());
        m_high = Of(-std::numeric_limits<double>::infinity());
        for (std::size_t k = 0; k < m_importance.size(); ++k) {
            const auto w = hn::PromoteTo(Units(), hn::LoadU(narrow, m_weights + k * m_units));
            const auto d = Of(m_importance[k]);
            const auto dw = hn::Mul(d, w);
            m_sums.weight = hn::Add(m_sums.weight, d);
            m_sums.value = hn::Add(m_sums.value, dw);
            m_sums.square = hn::Add(m_sums.square, hn::Mul(dw, w));
            m_low = hn::Min(m_low, w);
            m_high = hn::Max(m_high, w);
        }
        roundAll(m_best);
        m_bestError = errorOf(m_best);
    }

    Grids run()
    {
        const bool centred = m_search.freedom == GridFreedom::Scale;
        if (centred) {
            m_high = hn::Max(hn::Abs(m_low), hn::Abs(m_high));
            m_low = hn::Neg(m_high);
        } else if (m_search.freedom == GridFreedom::ScaleAndZero) {
            m_low = hn::Min(m_low, Of(0.0));
            m_high = hn::Max(m_high, Of(0.0));
        }
        const double steps = m_search.highest - m_search.lowest;
        const auto range = hn::Sub(m_high, m_low);
        const auto middle = hn::Mul(hn::Add(m_low, m_high), Of(0.5));
        for (const double spread : m_search.spreads) {
            const auto scale = hn::Div(range, Of(steps + spread));
            if (!centred)
                refine({scale, m_low});
            refine({scale, hn::Sub(middle, hn::Mul(scale, Of(0.5 * (m_search.highest + m_search.lowest))))});
        }
        return m_best;
    }

private:
    void refine(Grids grids)
    {
        grids = admissible(grids);
        for (std::size_t round = 0; round < m_search.rounds; ++round) {
            roundAll(grids);
            consider(grids);
            grids = refitted(grids);
        }
        consider(grids);
    }

    Grids admissible(Grids grids) const
    {
        if (m_search.freedom == GridFreedom::ScaleAndMinimum)
            return grids;
        return {grids.scale, hn::Neg(hn::Mul(grids.scale, zeroOf(grids)))};
    }

    Number zeroOf(const Grids& grids) const
    {
        if (m_search.freedom == GridFreedom::Scale)
            return Of(m_search.zero);
        const auto zero = hn::Round(hn::Neg(hn::Div(grids.minimum, grids.scale)));
        return hn::Min(hn::Max(zero, Of(m_search.lowest)), Of(m_search.highest));
    }

    void roundAll(const Grids& grids)
    {
        const hn::Rebind<float, Units> narrow;
        const auto inverse = hn::Div(Of(1.0), grids.scale);
        const auto lowest = Of(m_search.lowest), highest = Of(m_search.highest);
        auto code = hn::Zero(Units()), codeSquare = code, product = code;
        for (std::size_t k = 0; k < m_importance.size(); ++k) {
            const auto w = hn::PromoteTo(Units(), hn::LoadU(narrow, m_weights + k * m_units));
            const auto position = hn::Round(hn::Mul(hn::Sub(w, grids.minimum), inverse));
            const auto q = hn::Min(hn::Max(position, lowest), highest);
            const auto dq = hn::Mul(Of(m_importance[k]), q);
            code = hn::Add(code, dq);
            codeSquare = hn::Add(codeSquare, hn::Mul(dq, q));
            product = hn::Add(product, hn::Mul(dq, w));
        }
        m_sums.code = code;
        m_sums.codeSquare = codeSquare;
        m_sums.product = product;
    }

    /// Σ d·(w − scale·q − minimum)² for the codes at hand
    Number errorOf(const Grids& grids) const
    {
        const auto twice = Of(2.0);
        auto error = hn::Sub(m_sums.square, hn::Mul(twice, hn::Mul(grids.scale, m_sums.product)));
        error = hn::Sub(error, hn::Mul(twice, hn::Mul(grids.minimum, m_sums.value)));
        error = hn::Add(error, hn::Mul(hn::Mul(grids.scale, grids.scale), m_sums.codeSquare));
        error = hn::Add(error, hn::Mul(twice, hn::Mul(hn::Mul(grids.scale, grids.minimum), m_sums.code)));
        return hn::Add(error, hn::Mul(hn::Mul(grids.minimum, grids.minimum), m_sums.weight));
    }

    void consider(const Grids& grids)
    {
        const auto error = errorOf(grids);
        const auto better = hn::And(hn::Lt(error, m_bestError), hn::Gt(grids.scale, Of(0.0)));
        m_best.scale = hn::IfThenElse(better, grids.scale, m_best.scale);
        m_best.minimum = hn::IfThenElse(better, grids.minimum, m_best.minimum);
        m_bestError = hn::IfThenElse(better, error, m_bestError);
    }

    Grids refitted(const Grids& grids) const
    {
        const Sums& sums = m_sums;
        Grids fitted = grids;
        if (m_search.freedom != GridFreedom::Scale) {
            const auto whole = hn::Mul(sums.weight, sums.codeSquare);
            const auto determinant = hn::Sub(whole, hn::Mul(sums.code, sums.code));
            const auto scale =
                hn::Div(hn::Sub(hn::Mul(sums.weight, sums.product), hn::Mul(sums.value, sums.code)), determinant);
            const auto minimum = hn::Div(hn::Sub(sums.value, hn::Mul(scale, sums.code)), sums.weight);
            const auto usable = hn::And(hn::Gt(determinant, hn::Mul(whole, Of(1e-12))), hn::Gt(scale, Of(0.0)));
            fitted = {hn::IfThenElse(usable, scale, grids.scale), hn::IfThenElse(usable, minimum, grids.minimum)};
        }
        if (m_search.freedom == GridFreedom::ScaleAndMinimum)
            return fitted;
        const auto zero = zeroOf(fitted);
        const auto above = hn::Sub(sums.product, hn::Mul(zero, sums.value));
        auto below = hn::Sub(sums.codeSquare, hn::Mul(Of(2.0), hn::Mul(zero, sums.code)));
        below = hn::Add(below, hn::Mul(hn::Mul(zero, zero), sums.weight));
        const auto scale = hn::Div(above, below);
        const auto usable = hn::And(hn::Gt(below, Of(0.0)), hn::Gt(scale, Of(0.0)));
        const auto kept = hn::IfThenElse(usable, scale, fitted.scale);
        return {kept, hn::Neg(hn::Mul(kept, zero))};
    }

    const LeastSquaresSearch& m_search;
    std::span<const double> m_importance;
    const float* m_weights;
    std::size_t m_units;
    Grids m_best;
    Sums m_sums {};
    Number m_low, m_high, m_bestError;
};

void LeastSquaresGrids(const LeastSquaresSearch& search, std::span<const double> importance,
    std::span<const float> weights, std::size_t units, std::span<double> scales, std::span<double> minimums)
{
    const Units d;
    for (std::size_t u = 0; u < units; u += hn::Lanes(d)) {
        const Grids start {hn::LoadU(d, scales.data() + u), hn::LoadU(d, minimums.data() + u)};
        const Grids best = Search(search, importance, weights.data() + u, units, start).run();
        hn::StoreU(best.scale, d, scales.data() + u);
        hn::StoreU(best.minimum, d, minimums.data() + u);
    }
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(LeastSquaresGrids);

void leastSquaresGrids(const LeastSquaresSearch& search, std::span<const double> importance,
    std::span<const float> weights, std::size_t units, std::span<double> scales, std::span<double> minimums)
{
    HWY_DYNAMIC_DISPATCH(LeastSquaresGrids)(search, importance, weights, units, scales, minimums);
}

namespace {

struct UnitSums {
    double weight = 0.0, value = 0.0, square = 0.0, code = 0.0, codeSquare = 0.0, product = 0.0;
};

/// One unit, written the plain way.
class PlainSearch
{
public:
    PlainSearch(const LeastSquaresSearch& search, std::span<const double> importance, std::span<const float> weights,
        std::size_t units, std::size_t unit)
        : m_search(search)
        , m_importance(importance)
        , m_weights(weights)
        , m_units(units)
        , m_unit(unit)
    {
    }

    void run(double& scale, double& minimum)
    {
        double low = std::numeric_limits<double>::infinity(), high = -low;
        for (std::size_t k = 0; k < m_importance.size(); ++k) {
            const double w = at(k), dw = m_importance[k] * w;
            m_sums.weight += m_importance[k];
            m_sums.value += dw;
            m_sums.square += dw * w;
            low = w < low ? w : low;
            high = w > high ? w : high;
        }
        m_scale = scale;
        m_minimum = minimum;
        roundAll(scale, minimum);
        m_error = errorOf(scale, minimum);
        if (m_search.freedom == GridFreedom::Scale) {
            high = std::abs(low) > std::abs(high) ? std::abs(low) : std::abs(high);
            low = -high;
        } else if (m_search.freedom == GridFreedom::ScaleAndZero) {
            low = low < 0.0 ? low : 0.0;
            high = high > 0.0 ? high : 0.0;
        }
        for (const double spread : m_search.spreads) {
            const double step = (high - low) / (m_search.highest - m_search.lowest + spread);
            if (m_search.freedom != GridFreedom::Scale)
                refine(step, low);
            refine(step, (low + high) * 0.5 - step * (0.5 * (m_search.highest + m_search.lowest)));
        }
        scale = m_scale;
        minimum = m_minimum;
    }

private:
    double at(std::size_t k) const { return static_cast<double>(m_weights[k * m_units + m_unit]); }
    double clamped(double code) const
    {
        const double raised = code > m_search.lowest ? code : m_search.lowest;
        return raised < m_search.highest ? raised : m_search.highest;
    }
    double zeroOf(double scale, double minimum) const
    {
        return m_search.freedom == GridFreedom::Scale ? m_search.zero : clamped(std::nearbyint(-(minimum / scale)));
    }

    void refine(double scale, double minimum)
    {
        if (m_search.freedom != GridFreedom::ScaleAndMinimum)
            minimum = -(scale * zeroOf(scale, minimum));
        for (std::size_t round = 0; round < m_search.rounds; ++round) {
            roundAll(scale, minimum);
            consider(scale, minimum);
            refit(scale, minimum);
        }
        consider(scale, minimum);
    }

    void roundAll(double scale, double minimum)
    {
        const double inverse = 1.0 / scale;
        m_sums.code = m_sums.codeSquare = m_sums.product = 0.0;
        for (std::size_t k = 0; k < m_importance.size(); ++k) {
            const double q = clamped(std::nearbyint((at(k) - minimum) * inverse));
            const double dq = m_importance[k] * q;
            m_sums.code += dq;
            m_sums.codeSquare += dq * q;
            m_sums.product += dq * at(k);
        }
    }

    double errorOf(double scale, double minimum) const
    {
        return m_sums.square - 2.0 * (scale * m_sums.product) - 2.0 * (minimum * m_sums.value)
            + scale * scale * m_sums.codeSquare + 2.0 * (scale * minimum * m_sums.code)
            + minimum * minimum * m_sums.weight;
    }

    void consider(double scale, double minimum)
    {
        const double error = errorOf(scale, minimum);
        if (!(error < m_error && scale > 0.0))
            return;
        m_scale = scale;
        m_minimum = minimum;
        m_error = error;
    }

    void refit(double& scale, double& minimum) const
    {
        if (m_search.freedom != GridFreedom::Scale) {
            const double whole = m_sums.weight * m_sums.codeSquare;
            const double determinant = whole - m_sums.code * m_sums.code;
            const double fitted = (m_sums.weight * m_sums.product - m_sums.value * m_sums.code) / determinant;
            if (determinant > whole * 1e-12 && fitted > 0.0) {
                scale = fitted;
                minimum = (m_sums.value - fitted * m_sums.code) / m_sums.weight;
            }
        }
        if (m_search.freedom == GridFreedom::ScaleAndMinimum)
            return;
        const double zero = zeroOf(scale, minimum);
        const double below = m_sums.codeSquare - 2.0 * (zero * m_sums.code) + zero * zero * m_sums.weight;
        const double fitted = (m_sums.product - zero * m_sums.value) / below;
        if (below > 0.0 && fitted > 0.0)
            scale = fitted;
        minimum = -(scale * zero);
    }

    const LeastSquaresSearch& m_search;
    std::span<const double> m_importance;
    std::span<const float> m_weights;
    std::size_t m_units, m_unit;
    UnitSums m_sums {};
    double m_scale = 1.0, m_minimum = 0.0, m_error = 0.0;
};

}  // namespace

void leastSquaresGridsReference(const LeastSquaresSearch& search, std::span<const double> importance,
    std::span<const float> weights, std::size_t units, std::span<double> scales, std::span<double> minimums)
{
    for (std::size_t u = 0; u < units; ++u)
        PlainSearch(search, importance, weights, units, u).run(scales[u], minimums[u]);
}

}  // namespace quantloupe::kernels
#endif
