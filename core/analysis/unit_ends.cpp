// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/unit_ends.h"

#include "core/number_formats/number_format.h"

#include <cmath>
#include <limits>
#include <numeric>

namespace quantloupe {

UnitEndsFinder::UnitEndsFinder(const PreparedScheme& scheme)
    : m_scheme(&scheme)
    , m_defined(scheme.keepsLevels() && scheme.quantizer.hasGrids())
{
    const auto count = scheme.quantizer.codeCount();
    m_endless = count == 0;
    if (!m_defined || m_endless)
        return;
    // Scales are above zero, so the codes at the ends are the same in every unit.
    std::vector<std::uint32_t> codes(count);
    std::iota(codes.begin(), codes.end(), 0U);
    std::vector<float> values(count);
    const UnitGrid one {};
    scheme.quantizer.format().grid->decode(scheme.quantizer.scheme(), {count, count, true}, codes, {&one, 1}, values);
    float lowest = std::numeric_limits<float>::infinity(), highest = -lowest;
    for (std::uint32_t code = 0; code < count; ++code) {
        if (!std::isfinite(values[code]))
            continue;
        if (values[code] < lowest) {
            lowest = values[code];
            m_lowest = code;
        }
        if (values[code] > highest) {
            highest = values[code];
            m_highest = code;
        }
    }
}

void UnitEndsFinder::find(std::size_t rowCount, const QuantizerScratch& scratch, std::vector<UnitEnds>& ends) const
{
    constexpr float infinity = std::numeric_limits<float>::infinity();
    const auto& quantizer = m_scheme->quantizer;
    const auto units = quantizer.unitsPerRow();
    if (m_endless) {
        ends.assign(rowCount * units, {-infinity, infinity});
        return;
    }
    std::vector<std::uint32_t> codes;
    codes.reserve(2 * scratch.grids.size());
    for (std::size_t i = 0; i < scratch.grids.size(); ++i)
        codes.insert(codes.end(), {m_lowest, m_highest});
    std::vector<float> values(codes.size());
    quantizer.format().grid->decode(quantizer.scheme(), {codes.size(), 2, false}, codes, scratch.grids, values);
    ends.resize(rowCount * units);
    for (std::size_t row = 0; row < rowCount; ++row)
        for (std::size_t unit = 0; unit < units; ++unit) {
            const auto band = (scratch.rowInBand + row) / quantizer.rowsPerUnit();
            const auto grid = quantizer.wholeTensor() ? 0 : band * units + unit;
            ends[row * units + unit] = {values[2 * grid], values[2 * grid + 1]};
        }
}

}  // namespace quantloupe
