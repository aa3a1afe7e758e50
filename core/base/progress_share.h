// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/progress.h"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace quantloupe {

/// The part of a progress bar that one pass fills, row by row, so that all parts add up to the whole exactly.
class ProgressShare
{
public:
    ProgressShare(Progress& progress, std::uint64_t bytes)
        : m_progress(&progress)
        , m_bytes(bytes)
    {
    }

    std::uint64_t bytes() const { return m_bytes; }

    /// The first `part` (0 … 1) of this share, and the rest.
    std::pair<ProgressShare, ProgressShare> split(double part) const
    {
        const auto first = std::min(m_bytes, static_cast<std::uint64_t>(part * static_cast<double>(m_bytes)));
        return {{*m_progress, first}, {*m_progress, m_bytes - first}};
    }

    /// Rows [first, last) of `rows` are done.
    void advance(std::uint64_t first, std::uint64_t last, std::uint64_t rows) const
    {
        m_progress->doneBytes.fetch_add(bytesBefore(last, rows) - bytesBefore(first, rows), std::memory_order_relaxed);
    }

    void finish() const { m_progress->doneBytes.fetch_add(m_bytes, std::memory_order_relaxed); }

private:
    std::uint64_t bytesBefore(std::uint64_t row, std::uint64_t rows) const
    {
        const double share = static_cast<double>(row) / static_cast<double>(rows);
        return row == rows ? m_bytes : static_cast<std::uint64_t>(share * static_cast<double>(m_bytes));
    }

    Progress* m_progress;
    std::uint64_t m_bytes;
};

}  // namespace quantloupe
