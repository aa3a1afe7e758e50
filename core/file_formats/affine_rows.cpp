// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/affine_rows.h"

#include <algorithm>
#include <array>

namespace quantloupe {
namespace {

class AffineRows final : public RowDecoder
{
public:
    explicit AffineRows(AffineWeight weight)
        : m_weight(std::move(weight))
    {
    }

    void decodeRows(std::uint64_t firstRow, std::uint64_t rowCount, std::span<float> out) const override
    {
        const LocatedElements codes(m_weight.codes);
        m_weight.order.collectRows(firstRow, rowCount, out, [&](std::uint64_t first, std::size_t count, float* values) {
            decodeElements(m_weight.codes.dtype, codes.data, first, 1, count, values);
            scaleRun(first, count, values);
        });
    }

    std::string description() const override { return m_weight.description; }

    std::vector<Bytes> storedBytes() const override
    {
        std::vector<Bytes> parts {m_weight.codes.bytes, m_weight.scales.bytes};
        if (m_weight.zeroPoints)
            parts.push_back(m_weight.zeroPoints->bytes);
        return parts;
    }

private:
    /// Neighbouring elements whose scales are one and the same (step 0) or neighbours as well (step 1).
    struct Segment {
        std::uint64_t length, scale, zeroPoint, step;
    };

    Segment segmentAt(std::uint64_t element, std::uint64_t rest) const
    {
        const auto& grid = m_weight.grid;
        if (grid.blockStep == 0)
            return {rest, 0, 0, 0};
        const auto inner = element % grid.inner;
        const auto along = element / grid.inner % grid.extent;
        const auto outer = element / grid.inner / grid.extent;
        const auto inOuter = along / grid.block * grid.blockStep + inner * grid.innerStep;
        Segment segment {
            grid.inner - inner, outer * grid.outerStep + inOuter, outer * grid.zeroOuterStep + inOuter, grid.innerStep};
        if (grid.inner == 1) {  // the axis is the last: along it blocks follow each other
            segment.step = grid.block == 1 ? 1 : 0;
            segment.length =
                std::min(grid.extent - along, grid.block == 1 ? grid.extent : grid.block - along % grid.block);
        }
        segment.length = std::min(segment.length, rest);
        return segment;
    }

    void scaleRun(std::uint64_t first, std::size_t count, float* out) const
    {
        constexpr std::uint64_t atOnce = 256;
        std::array<float, atOnce> scales, zeroPoints;
        zeroPoints.fill(m_weight.zeroPoint);
        while (count > 0) {
            auto segment = segmentAt(first, count);
            if (segment.step == 1)
                segment.length = std::min(segment.length, atOnce);
            const auto length = static_cast<std::size_t>(segment.length);
            const auto different = segment.step == 1 ? length : 1;
            take(m_weight.scales, segment.scale, different, scales.data());
            if (m_weight.zeroPoints)
                take(*m_weight.zeroPoints, segment.zeroPoint, different, zeroPoints.data());
            for (std::size_t i = 0; i < length; ++i)
                out[i] = (out[i] - zeroPoints[i * segment.step]) * scales[i * segment.step];
            out += length;
            first += length;
            count -= length;
        }
    }

    static void take(const StoredElements& from, std::uint64_t first, std::size_t count, float* out)
    {
        decodeElements(from.dtype, from.bytes.data(), first, 1, count, out);
    }

    AffineWeight m_weight;
};

class OrderedRows final : public RowDecoder
{
public:
    OrderedRows(const ElementOrder& order, StoredElements elements)
        : m_order(order)
        , m_elements(std::move(elements))
    {
    }

    void decodeRows(std::uint64_t firstRow, std::uint64_t rowCount, std::span<float> out) const override
    {
        const LocatedElements located(m_elements);
        m_order.collectRows(firstRow, rowCount, out, [&](std::uint64_t first, std::size_t count, float* values) {
            decodeElements(m_elements.dtype, located.data, first, 1, count, values);
        });
    }

    std::vector<Bytes> storedBytes() const override { return {m_elements.bytes}; }

private:
    ElementOrder m_order;
    StoredElements m_elements;
};

std::uint64_t innerOf(const Shape& shape, std::size_t axis)
{
    std::uint64_t inner = 1;
    for (auto i = axis + 1; i < shape.size(); ++i)
        inner *= shape[i];
    return inner;
}

}  // namespace

ScaleGrid ScaleGrid::perAxis(const Shape& shape, std::size_t axis)
{
    return {.extent = shape[axis], .inner = innerOf(shape, axis), .blockStep = 1};
}

ScaleGrid ScaleGrid::blocked(const Shape& shape, std::size_t axis, std::uint64_t block)
{
    const auto inner = innerOf(shape, axis);
    const auto blocks = shape[axis] / block + (shape[axis] % block != 0 ? 1 : 0);
    return {.extent = shape[axis],
        .inner = inner,
        .block = block,
        .outerStep = blocks * inner,
        .blockStep = inner,
        .innerStep = inner > 1 ? 1U : 0U,
        .zeroOuterStep = blocks * inner};
}

std::shared_ptr<const RowDecoder> affineRows(AffineWeight weight)
{
    return std::make_shared<const AffineRows>(std::move(weight));
}

std::shared_ptr<const RowDecoder> orderedRows(const ElementOrder& order, StoredElements elements)
{
    return std::make_shared<const OrderedRows>(order, std::move(elements));
}

}  // namespace quantloupe
