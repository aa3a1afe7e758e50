// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/weight_quantization.h"

#include "core/analysis/prepared_tensor.h"
#include "core/model/hold_readable.h"
#include "core/number_formats/packed_matrix.h"

#include <tbb/enumerable_thread_specific.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

namespace quantloupe {
namespace {

/// What one thread works with.
struct TileScratch {
    QuantizerScratch quantizer {};
    std::vector<float> decoded {};
};

class EncodedTensor final : public QuantizedTensor
{
public:
    EncodedTensor(const ModelTensor& tensor, HeldBytes held, PreparedScheme scheme)
        : m_tensor(&tensor)
        , m_held(std::move(held))
        , m_scheme(std::move(scheme))
    {
    }

    const Quantizer& quantizer() const override { return m_scheme.quantizer; }
    bool hasCodes() const override
    {
        const auto& calibrated = m_scheme.calibrated;
        return m_scheme.keepsLevels() && (!calibrated || (quantizer().hasGrids() && calibrated->bias.empty()));
    }

    void quantize(std::uint64_t firstRow, std::size_t rowCount, QuantizedRows& rows) const override
    {
        auto& scratch = m_scratches.local();
        const auto source = rowsOf(m_tensor->view, firstRow, rowCount, scratch.decoded);
        rows.firstRow = firstRow;
        rows.rowCount = rowCount;
        rows.columns = quantizer().columns();
        rows.codes.clear();
        rows.grids.clear();
        rows.packed.clear();
        rows.values.resize(source.size());
        if (hasCodes() && !quantizer().hasGrids()) {
            rows.packed.resize(rowCount * quantizer().packedRowBytes());
            m_scheme.pack(firstRow, source, rowCount, rows.packed);
            quantizer().unpack(rows.packed, rowCount, rows.values);
            return;
        }
        m_scheme.quantize(firstRow, source, rowCount, scratch.quantizer);
        if (!hasCodes()) {
            rows.values = scratch.quantizer.quantized;
            return;
        }
        const auto& scheme = quantizer().scheme();
        // Scales that are quantized together have been already.
        rows.grids = scheme.scales == ScaleStorage::Double8 ? scratch.quantizer.grids
                                                            : storedGrids(scheme, scratch.quantizer.grids);
        rows.codes.resize(source.size());
        if (m_scheme.calibrated)  // chosen already, column by column: not the nearest ones
            m_scheme.encode(firstRow, rowCount, rows.codes, scratch.quantizer);
        else
            quantizer().encode(source, rowCount, rows.grids, rows.codes, scratch.quantizer.rowInBand);
        quantizer().decode(rows.codes, rowCount, rows.grids, rows.values, scratch.quantizer.rowInBand);
    }

private:
    const ModelTensor* m_tensor;
    HeldBytes m_held;
    PreparedScheme m_scheme;
    mutable tbb::enumerable_thread_specific<TileScratch> m_scratches {};
};

}  // namespace

WeightQuantization weightQuantization(const Model& model)
{
    return [&model](std::size_t index, const Scheme& scheme,
               const std::stop_token& stop) -> Result<std::shared_ptr<const QuantizedTensor>> {
        const auto& tensor = model.tensors[index];
        auto held = holdReadable(tensor, stop);
        if (!held)
            return tl::unexpected(held.error());
        auto prepared = prepareTensor(model, index, scheme, stop);
        if (!prepared)
            return tl::unexpected(prepared.error());
        if (prepared->weights.nonFinite > 0)
            return failure(ErrorCode::Malformed, tensor.name,
                std::to_string(prepared->weights.nonFinite)
                    + " of its weights are NaN or infinite, for which quantized weights have no code: keep it as "
                      "stored");
        return std::make_shared<const EncodedTensor>(tensor, std::move(*held), std::move(prepared->scheme));
    };
}

}  // namespace quantloupe
