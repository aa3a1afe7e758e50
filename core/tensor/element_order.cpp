// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/tensor/element_order.h"

#include <algorithm>
#include <array>

namespace quantloupe {

ElementOrder ElementOrder::of(const TensorView& view)
{
    const auto columns = matrixShape(view).columns;
    auto order = padded(columns, columns);
    if (view.transposed && view.shape.size() >= 2) {
        order.m_kind = Kind::ChannelsLast;
        order.m_channels = view.shape.back();
    }
    return order;
}

ElementOrder ElementOrder::padded(std::uint64_t columns, std::uint64_t pitch)
{
    ElementOrder order;
    order.m_columns = columns;
    order.m_pitch = pitch;
    return order;
}

ElementOrder ElementOrder::ofTransposedKernel(const Shape& stored, std::uint64_t groups)
{
    ElementOrder order;
    order.m_kind = Kind::TransposedKernel;
    order.m_channels = stored[1];
    for (std::size_t axis = 2; axis < stored.size(); ++axis)
        order.m_extents *= stored[axis];
    order.m_columns = stored[0] / groups * order.m_extents;
    return order;
}

void ElementOrder::collectRows(
    std::uint64_t firstRow, std::uint64_t rowCount, std::span<float> out, const ElementRun& run) const
{
    if (out.empty())
        return;
    if (m_kind == Kind::ChannelsLast)
        return collectChannels(firstRow, rowCount, out, run);
    if (m_kind == Kind::Rows && m_pitch == m_columns)
        return run(firstRow * m_columns, out.size(), out.data());
    auto* next = out.data();
    for (auto row = firstRow; row < firstRow + rowCount; ++row) {
        if (m_kind == Kind::Rows) {
            run(row * m_pitch, m_columns, next);
            next += m_columns;
            continue;
        }
        const auto pairs = m_columns / m_extents;  // input channels of the row's group
        const auto group = row / m_channels, channel = row % m_channels;
        for (std::uint64_t input = group * pairs; input < (group + 1) * pairs; ++input, next += m_extents)
            run((input * m_channels + channel) * m_extents, m_extents, next);
    }
}

void ElementOrder::collectChannels(
    std::uint64_t firstRow, std::uint64_t rowCount, std::span<float> out, const ElementRun& run) const
{
    // Runs of neighbouring output channels lie together. Of a stack, each matrix by itself.
    constexpr std::uint64_t channelsAtOnce = 64;
    std::array<float, channelsAtOnce> channels;
    const auto end = firstRow + rowCount;
    auto* next = out.data();
    for (auto row = firstRow; row < end;) {
        const auto matrix = row / m_channels;
        const auto count = std::min({channelsAtOnce, end - row, (matrix + 1) * m_channels - row});
        for (std::uint64_t column = 0; column < m_columns; ++column) {
            const auto first = (matrix * m_columns + column) * m_channels + row % m_channels;
            run(first, static_cast<std::size_t>(count), channels.data());
            for (std::uint64_t i = 0; i < count; ++i)
                next[i * m_columns + column] = channels[i];
        }
        row += count;
        next += count * m_columns;
    }
}

}  // namespace quantloupe
