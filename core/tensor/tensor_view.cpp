// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/tensor/tensor_view.h"

#include <algorithm>
#include <utility>

namespace quantloupe {
namespace {

/// What rows of a view are stored in, and the map it is part of.
struct StoredRows {
    HeldBytes map {};
    Bytes bytes {};
};

StoredRows storedRows(const TensorView& view, std::uint64_t firstRow, std::uint64_t rowCount)
{
    const auto rows = matrixShape(view).rows;
    auto map = view.deferred ? view.deferred->held() : view.owner;
    if (view.decoder || view.transposed || !map || firstRow >= rows)
        return {};
    const auto bytes = view.deferred ? map->bytes() : view.bytes;
    const auto perRow = bytes.size() / rows;
    const auto count = std::min(rowCount, rows - firstRow);
    return {std::move(map), bytes.subspan(firstRow * perRow, count * perRow)};
}

}  // namespace

std::optional<std::uint64_t> elementCount(const Shape& shape)
{
    std::uint64_t count = 1;
    bool empty = false;
    for (const auto extent : shape) {
        // A zero must not hide that the other extents overflow: a later reshape would meet their product.
        if (extent == 0)
            empty = true;
        else if (__builtin_mul_overflow(count, extent, &count))
            return std::nullopt;
    }
    return empty ? 0 : count;
}

MatrixShape matrixShape(const TensorView& view)
{
    const auto elements = view.elements();
    if (view.shape.empty())
        return {1, 1};
    if (view.shape.size() == 1)
        return {1, view.shape[0]};
    if (view.transposed && (view.convolution || view.shape.size() == 2))
        return {view.shape.back(), view.shape.back() == 0 ? 0 : elements / view.shape.back()};
    if (view.transposed) {  // a stack
        const auto columns = view.shape[view.shape.size() - 2];
        return {columns == 0 ? 0 : elements / columns, columns};
    }
    if (view.convolution)
        return {view.shape[0], view.shape[0] == 0 ? 0 : elements / view.shape[0]};
    const auto columns = view.shape.back();
    return {columns == 0 ? 0 : elements / columns, columns};
}

Result<HeldBytes> holdBytes(const TensorView& view, std::stop_token stop)
{
    if (view.deferred)
        return view.deferred->hold(std::move(stop));
    return view.owner;
}

void releaseBytes(const TensorView& view)
{
    if (view.decoder)
        view.decoder->release();
    if (const auto held = view.deferred ? view.deferred->held() : nullptr)
        held->release(held->bytes());
    else if (view.owner && !view.bytes.empty())
        view.owner->release(view.bytes);
}

void releaseRows(const TensorView& view, std::uint64_t firstRow, std::uint64_t rowCount)
{
    if (const auto stored = storedRows(view, firstRow, rowCount); !stored.bytes.empty())
        stored.map->release(stored.bytes);
}

void readRowsAhead(const TensorView& view, std::uint64_t firstRow, std::uint64_t rowCount)
{
    readAheadOfPass(storedRows(view, firstRow, rowCount).bytes);
}

}  // namespace quantloupe
