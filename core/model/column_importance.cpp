// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/model/column_importance.h"

#include "core/base/hash.h"

#include <algorithm>
#include <span>
#include <utility>

namespace quantloupe {

ColumnImportancePointer makeColumnImportance(std::vector<float> values, std::uint64_t slices)
{
    const auto sum = checksum64(std::as_bytes(std::span(values))) + slices;
    return std::make_shared<const ColumnImportance>(
        ColumnImportance {std::move(values), slices, std::max<std::uint64_t>(1, sum)});
}

ColumnImportancePointer importanceOfRows(
    const ColumnImportancePointer& whole, std::uint64_t rowCount, std::span<const std::uint64_t> rows)
{
    if (!whole || whole->slices <= 1)
        return whole;
    const auto columns = static_cast<std::ptrdiff_t>(whole->values.size() / whole->slices);
    const auto rowsPerSlice = rowCount / whole->slices;
    std::vector<float> values;
    values.reserve(rows.size() * static_cast<std::size_t>(columns));
    for (const auto row : rows) {
        const auto begin = whole->values.begin() + static_cast<std::ptrdiff_t>(row / rowsPerSlice) * columns;
        values.insert(values.end(), begin, begin + columns);
    }
    return makeColumnImportance(std::move(values), rows.size());
}

}  // namespace quantloupe
