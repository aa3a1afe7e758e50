// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/training/trained_layer.h"

namespace quantloupe {

void LearnedTensor::quantize(std::uint64_t firstRow, std::size_t rowCount, QuantizedRows& rows) const
{
    const auto columns = m_quantizer.columns();
    const auto source = m_weights.subspan(static_cast<std::size_t>(firstRow) * columns, rowCount * columns);
    rows.firstRow = firstRow;
    rows.rowCount = rowCount;
    rows.columns = columns;
    rows.codes.clear();
    rows.packed.clear();
    rows.grids.clear();
    rows.values.resize(source.size());
    if (!m_quantizer.hasGrids()) {
        rows.packed.resize(rowCount * m_quantizer.packedRowBytes());
        m_quantizer.pack(source, rowCount, rows.packed);
        m_quantizer.unpack(rows.packed, rowCount, rows.values);
        return;
    }
    if (m_quantizer.wholeTensor()) {
        rows.grids.assign(m_grids.begin(), m_grids.end());
    } else {
        const auto first = m_quantizer.gridCount(static_cast<std::size_t>(firstRow));
        const auto own = m_grids.subspan(first, m_quantizer.gridCount(rowCount));
        rows.grids.assign(own.begin(), own.end());
    }
    rows.codes.resize(source.size());
    m_quantizer.encode(source, rowCount, rows.grids, rows.codes);
    m_quantizer.decode(rows.codes, rowCount, rows.grids, rows.values);
}

QuantizedRows TrainedLayer::quantized() const
{
    QuantizedRows all;
    tensor().quantize(0, rows, all);
    return all;
}

}  // namespace quantloupe
