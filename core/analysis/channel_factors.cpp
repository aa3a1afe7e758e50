// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/channel_factors.h"

#include "core/analysis/row_tiles.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace quantloupe {

namespace {

constexpr int fittingRounds = 3;

/// Numerators and denominators of the columns' factors.
struct ColumnSums {
    std::vector<double> products, squares;

    ColumnSums& operator+=(const ColumnSums& other)
    {
        for (std::size_t i = 0; i < products.size(); ++i) {
            products[i] += other.products[i];
            squares[i] += other.squares[i];
        }
        return *this;
    }
};

float factorOf(double product, double square)
{
    const double factor = square > 0.0 ? product / square : 1.0;
    return std::isfinite(factor) ? static_cast<float>(factor) : 1.0F;
}

class UndoneFactors final : public RowDecoder
{
public:
    UndoneFactors(TensorView source, ChannelFactors factors)
        : m_source(std::move(source))
        , m_factors(std::move(factors))
    {
        for (auto* list : {&m_factors.rows, &m_factors.columns})
            for (float& factor : *list)
                factor = factor == 0.0F ? 1.0F : 1.0F / factor;
    }

    void decodeRows(std::uint64_t firstRow, std::uint64_t rowCount, std::span<float> out) const override
    {
        quantloupe::decodeRows(m_source, firstRow, rowCount, out);
        const auto columns = m_factors.columns.size();
        for (std::size_t row = 0; row < rowCount; ++row) {
            const float factor = m_factors.rows[static_cast<std::size_t>(firstRow) + row];
            for (std::size_t column = 0; column < columns; ++column)
                out[row * columns + column] *= factor * m_factors.columns[column];
        }
    }
    void release() const override { releaseBytes(m_source); }

private:
    TensorView m_source;
    ChannelFactors m_factors;
};

/// One turn: the columns' factors with those of the rows as they are, then those of each row.
Result<void> fitOnce(const ModelTensor& original, const TensorView& view, ChannelFactors& factors, std::stop_token stop,
    const ProgressShare& progress)
{
    const auto columns = factors.columns.size();
    const auto [first, second] = progress.split(0.5);
    tbb::enumerable_thread_specific<std::vector<float>> buffers;
    const auto sums = reduceTiles<ColumnSums>(
        original, stop, first,
        [&] {
            return ColumnSums {std::vector<double>(columns), std::vector<double>(columns)};
        },
        [&](ColumnSums& tileSums, const RowTile& tile) {
            const auto rows = rowsOf(view, tile.firstRow, tile.rowCount, buffers.local());
            for (std::size_t row = 0; row < tile.rowCount; ++row) {
                const double factor = factors.rows[static_cast<std::size_t>(tile.firstRow) + row];
                for (std::size_t column = 0; column < columns; ++column) {
                    const double weight = factor * static_cast<double>(tile.weights[row * columns + column]);
                    tileSums.products[column] += weight * static_cast<double>(rows[row * columns + column]);
                    tileSums.squares[column] += weight * weight;
                }
            }
        });
    if (!sums)
        return tl::unexpected(sums.error());
    for (std::size_t column = 0; column < columns; ++column)
        factors.columns[column] = factorOf(sums->products[column], sums->squares[column]);

    struct Nothing {
        Nothing& operator+=(const Nothing&) { return *this; }
    };
    const auto visited = reduceTiles<Nothing>(
        original, stop, second, [] { return Nothing {}; },
        [&](Nothing&, const RowTile& tile) {
            const auto rows = rowsOf(view, tile.firstRow, tile.rowCount, buffers.local());
            for (std::size_t row = 0; row < tile.rowCount; ++row) {
                double product = 0.0, square = 0.0;
                for (std::size_t column = 0; column < columns; ++column) {
                    const double weight = static_cast<double>(factors.columns[column])
                        * static_cast<double>(tile.weights[row * columns + column]);
                    product += weight * static_cast<double>(rows[row * columns + column]);
                    square += weight * weight;
                }
                factors.rows[static_cast<std::size_t>(tile.firstRow) + row] = factorOf(product, square);
            }
        });
    if (!visited)
        return tl::unexpected(visited.error());
    return {};
}

}  // namespace

Result<ChannelFactors> fitChannelFactors(
    const ModelTensor& original, const TensorView& view, std::stop_token stop, const ProgressShare& progress)
{
    const auto shape = matrixShape(original.view);
    ChannelFactors factors {std::vector<float>(static_cast<std::size_t>(shape.rows), 1.0F),
        std::vector<float>(static_cast<std::size_t>(shape.columns), 1.0F)};
    auto rest = progress;
    for (int round = fittingRounds; round > 0; --round) {
        const auto [mine, left] = rest.split(1.0 / round);
        rest = left;
        if (auto fitted = fitOnce(original, view, factors, stop, mine); !fitted)
            return tl::unexpected(fitted.error());
    }
    // Only the products are determined: rows are about 1 where nothing was done to them.
    const double mean = std::accumulate(factors.rows.begin(), factors.rows.end(), 0.0)
        / static_cast<double>(std::max<std::size_t>(1, factors.rows.size()));
    if (mean > 0.0 && std::isfinite(mean)) {
        for (float& factor : factors.rows)
            factor = static_cast<float>(static_cast<double>(factor) / mean);
        for (float& factor : factors.columns)
            factor = static_cast<float>(static_cast<double>(factor) * mean);
    }
    return factors;
}

TensorView withoutFactors(const TensorView& view, ChannelFactors factors)
{
    const auto shape = matrixShape(view);
    TensorView undone {.dtype = view.dtype,
        .shape = {shape.rows, shape.columns},
        .bytes = view.bytes,
        .owner = view.owner,
        .packedBytes = view.byteSize(),
        .deferred = view.deferred};
    undone.decoder = std::make_shared<UndoneFactors>(view, std::move(factors));
    return undone;
}

}  // namespace quantloupe
