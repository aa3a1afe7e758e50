// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/best_scheme.h"

#include "core/analysis/measure.h"
#include "core/analysis/row_tiles.h"
#include "core/analysis/spread_rows.h"
#include "core/schemes/format_traits.h"
#include "core/statistics/error_accumulator.h"
#include "core/tensor/selected_rows.h"

#include <array>
#include <string>
#include <utility>

namespace quantloupe {

namespace {

/// Schemes that grow from the first to the last.
using Ladder = std::vector<std::string_view>;

std::span<const Ladder> ladders()
{
    static const std::vector<Ladder> all {
        {"int2:g128:asym:mse", "int2:g64:asym:mse", "int2:g32:asym:mse", "int3:g128:asym:mse", "int3:g64:asym:mse",
            "int3:g32:asym:mse", "int4:g128:asym:mse", "int4:g64:asym:mse", "int4:g32:asym:mse", "int5:g128:asym:mse",
            "int5:g64:asym:mse", "int5:g32:asym:mse", "int6:g128:asym:mse", "int6:g64:asym:mse", "int6:g32:asym:mse",
            "int7:g128:asym:mse", "int7:g32:asym:mse", "int8:g128:asym:mse", "int8:g32:asym:mse"},
        {"int2:channel:symf:mse", "int2:g32:symf:mse", "int3:channel:symf:mse", "int3:g128:symf:mse",
            "int3:g32:symf:mse", "int4:channel:symf:mse", "int4:g128:symf:mse", "int4:g64:symf:mse",
            "int4:g32:symf:mse", "int5:g128:symf:mse", "int5:g32:symf:mse", "int6:g128:symf:mse", "int6:g32:symf:mse",
            "int8:channel:mse", "int8:g128:mse", "int8:g32:mse", "int8:g16:mse"},
        {"nf4:channel", "nf4:g128", "nf4:g64", "nf4:g32", "nf4:g16"},
        {"q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "q8_0"},
        {"q4_0", "q4_1", "q5_0", "q5_1", "q8_0"},
        {"iq4_xs", "iq4_nl"},
        {"lut2", "lut3", "lut4"},
        {"mxfp4", "nvfp4", "mxfp6_e2m3", "mxfp8_e4m3", "mxint8"},
    };
    return all;
}

bool fitsWithin(const Scheme& scheme, double bits, const MatrixShape& shape)
{
    const auto& traits = traitsOf(scheme.format);
    const bool whole = traits.family != FormatFamily::Block || shape.columns % traits.blockElements == 0;
    const bool grouped =
        scheme.granularity.kind != Granularity::Kind::Group || scheme.granularity.columns < shape.columns;
    return whole && grouped && scheme.bitsPerWeight(shape) <= bits * (1.0 + 1e-9) && requireBuilt(scheme);
}

}  // namespace

std::vector<Scheme> schemesWithin(double bitsPerWeight, const MatrixShape& shape)
{
    std::vector<Scheme> schemes;
    if (shape.elements() == 0)
        return schemes;
    for (const auto& ladder : ladders()) {
        std::optional<Scheme> largest;
        double most = 0.0;
        for (const auto text : ladder) {
            auto scheme = Scheme::parse(text);
            if (!scheme || !fitsWithin(*scheme, bitsPerWeight, shape) || scheme->bitsPerWeight(shape) < most)
                continue;
            most = scheme->bitsPerWeight(shape);
            largest = std::move(*scheme);
        }
        if (largest && std::find(schemes.begin(), schemes.end(), *largest) == schemes.end())
            schemes.push_back(std::move(*largest));
    }
    return schemes;
}

Result<ErrorStatistics> compareRows(const ModelTensor& original, const TensorView& view, float added,
    std::stop_token stop, const ProgressShare& progress)
{
    struct Buffers {
        std::vector<float> quantized {}, shifted {}, energies {};
    };
    const auto columns = static_cast<std::size_t>(matrixShape(original.view).columns);
    tbb::enumerable_thread_specific<Buffers> buffers;
    constexpr std::size_t noHistogram = 0;
    auto errors = reduceTiles<ErrorAccumulator>(
        original, std::move(stop), progress, [&] { return ErrorAccumulator(columns, 0.0, noHistogram); },
        [&](ErrorAccumulator& sums, const RowTile& tile) {
            auto& own = buffers.local();
            const auto quantized = rowsOf(view, tile.firstRow, tile.rowCount, own.quantized);
            auto weights = tile.weights;
            if (added != 0.0F) {
                own.shifted.assign(weights.begin(), weights.end());
                for (float& weight : own.shifted)
                    weight += added;
                weights = own.shifted;
            }
            own.energies.resize(tile.rowCount);
            sums.add(weights, quantized, own.energies);
        });
    if (!errors)
        return tl::unexpected(errors.error());
    return errors->error();
}

Result<std::optional<BestScheme>> findBestScheme(const ModelTensor& original, const TensorView& audited,
    double bitsPerWeight, std::stop_token stop, const ProgressShare& progress)
{
    const auto shape = matrixShape(original.view);
    const auto schemes = schemesWithin(bitsPerWeight, shape);
    if (schemes.empty()) {
        progress.finish();
        return std::nullopt;
    }
    auto sample = original;
    auto auditedSample = audited;
    BestScheme best {.measuredRows = shape.rows, .rows = shape.rows};
    if (shape.elements() > mostWeightsForBestScheme) {
        const auto rows = spreadRows(shape, 1, mostWeightsForBestScheme);
        best.measuredRows = rows.size();
        sample.view = selectRows(original.view, rows);
        auditedSample = selectRows(audited, rows);
    }
    const auto [forWeights, rest] = progress.split(0.1);
    const auto [forAudited, forSchemes] = rest.split(0.1);
    const auto weights = measureWeights(sample, stop, forWeights);
    if (!weights)
        return tl::unexpected(weights.error());
    const auto own = compareRows(sample, auditedSample, 0.0F, stop, forAudited);
    if (!own)
        return tl::unexpected(own.error());
    const auto measured = measureSchemes(sample, *weights, schemes, nullptr, stop, forSchemes);
    if (!measured)
        return tl::unexpected(measured.error());
    const SchemeMeasurement* least = nullptr;
    for (const auto& one : *measured)
        if (!least || one.error.errorEnergy < least->error.errorEnergy)
            least = &one;
    best.scheme = least->scheme;
    best.bitsPerWeight = least->scheme.bitsPerWeight(shape);
    best.sqnrDb = least->error.sqnrDb();
    best.auditedSqnrDb = own->sqnrDb();
    return best;
}

}  // namespace quantloupe
