// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace quantloupe {

/// What errors in each input column of a weight matter: the mean square of the activations that meet it.
struct ColumnImportance {
    /// slices × columns, ≥ 0 and finite.
    std::vector<float> values {};
    /// Equal runs of rows with values of their own: 1, or the experts of a stack.
    std::uint64_t slices = 1;
    /// Of values and slices, never 0: tells measurements that were weighed differently apart.
    std::uint64_t fingerprint = 0;

    bool operator==(const ColumnImportance&) const = default;
};
using ColumnImportancePointer = std::shared_ptr<const ColumnImportance>;

/// @pre values holds a multiple of `slices` numbers, ≥ 0 and finite
ColumnImportancePointer makeColumnImportance(std::vector<float> values, std::uint64_t slices = 1);

/// That of some rows of a matrix of `rowCount`, each bringing that of its slice. Null for null.
/// @pre rows are below rowCount
ColumnImportancePointer importanceOfRows(
    const ColumnImportancePointer& whole, std::uint64_t rowCount, std::span<const std::uint64_t> rows);

}  // namespace quantloupe
