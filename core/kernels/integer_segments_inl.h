// SPDX-License-Identifier: GPL-3.0-or-later
// Where the weights of units lie that are proven right together. Included once per instruction set.
#if defined(QUANTLOUPE_INTEGER_SEGMENTS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTLOUPE_INTEGER_SEGMENTS_INL
#undef QUANTLOUPE_INTEGER_SEGMENTS_INL
#else
#define QUANTLOUPE_INTEGER_SEGMENTS_INL
#endif

#include "core/kernels/error_slots_inl.h"
#include "core/kernels/integer_units_inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {

// Weights of one unit that are proven right together: the shorter, the fewer are done again for one that is not.
constexpr std::size_t shortestSegment = 32, longestSegment = 256;

// One segment's place: weights [begin, end) of the stretch, in unit u.
struct Segment {
    std::size_t begin, end, unit;

    std::size_t wholeSteps() const { return (end - begin) / stepLength * stepLength; }
};

// Walks the segments of [begin, end), as long as they may be.
class Segments
{
public:
    Segments(const Units& units, std::size_t begin, std::size_t end)
        : m_unitLength(units.length)
        , m_at(begin)
        , m_end(end)
        , m_unit(begin / units.length)
        , m_unitEnd((m_unit + 1) * units.length)
    {
    }
    bool done() const { return m_at >= m_end; }
    Segment next()
    {
        const Segment segment {m_at, HWY_MIN(HWY_MIN(m_at + longestSegment, m_unitEnd), m_end), m_unit};
        m_at = segment.end;
        if (m_at == m_unitEnd) {
            ++m_unit;
            m_unitEnd += m_unitLength;
        }
        return segment;
    }

private:
    std::size_t m_unitLength, m_at, m_end, m_unit, m_unitEnd;
};

// The unit that each segment of one length lies in, which divides a unit.
class UnitOfSegment
{
public:
    UnitOfSegment(const Units& units, std::size_t length, std::size_t first)
        : m_perUnit(units.length / length)
        , m_unit(first / m_perUnit)
        , m_inUnit(first % m_perUnit)
    {
    }
    std::size_t unit() const { return m_unit; }
    HWY_INLINE void advance()
    {
        if (++m_inUnit == m_perUnit) {
            m_inUnit = 0;
            ++m_unit;
        }
    }

private:
    std::size_t m_perUnit, m_unit, m_inUnit;
};

// Walks the segments [first, end) of one length that divides a unit.
template<std::size_t length>
class EqualSegments
{
public:
    EqualSegments(const Units& units, std::size_t first, std::size_t end)
        : m_at(first * length)
        , m_end(end * length)
        , m_unit(units, length, first)
    {
    }
    bool done() const { return m_at >= m_end; }
    HWY_INLINE Segment next()
    {
        const Segment segment {m_at, m_at + length, m_unit.unit()};
        m_at += length;
        m_unit.advance();
        return segment;
    }

private:
    std::size_t m_at, m_end;
    UnitOfSegment m_unit;
};

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
