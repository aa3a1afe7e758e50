// SPDX-License-Identifier: GPL-3.0-or-later
// The ends of what each unit of a scheme can represent. For use inside this room.
#pragma once

#include "core/analysis/prepared_scheme.h"
#include "core/statistics/error_shares.h"

#include <cstdint>
#include <span>
#include <vector>

namespace quantloupe {

/// Finds the ends of units, a few rows at a time. Immutable, safe to share between threads.
class UnitEndsFinder
{
public:
    explicit UnitEndsFinder(const PreparedScheme& scheme);

    /// Whether the ends are known. They are not where weights are quantized on an axis of their own (cle, hadamard),
    /// where ŵ is moved afterwards (biascorr), and for formats without grids (ggml's blocks, look-up tables), whose
    /// levels are those that the weights happen to use.
    bool isDefined() const { return m_defined; }
    /// Ends of each unit of rowCount rows that were quantized into `scratch`, row by row. @pre isDefined()
    void find(std::size_t rowCount, const QuantizerScratch& scratch, std::vector<UnitEnds>& ends) const;

private:
    const PreparedScheme* m_scheme;
    bool m_defined = false, m_endless = false;  ///< endless: every float has a code
    std::uint32_t m_lowest = 0, m_highest = 0;  ///< the codes that stand for the ends
};

}  // namespace quantloupe
