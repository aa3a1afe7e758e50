// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/algorithms/inverse_factor.h"

#include "core/algorithms/banded_product.h"
#include "core/algorithms/row_blocks.h"
#include "core/kernels/dense_algebra.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace quantloupe {
namespace {

using kernels::Side;
using Square = kernels::Matrix<double>;

constexpr std::size_t factorBlock = 256;

std::size_t blockCount(std::size_t size)
{
    return (size + factorBlock - 1) / factorBlock;
}
std::size_t blockExtent(std::size_t size, std::size_t block)
{
    return std::min(factorBlock, size - block * factorBlock);
}

Square blockOf(const Square& matrix, std::size_t i, std::size_t j)
{
    return matrix.part(i * factorBlock, j * factorBlock, blockExtent(matrix.rows, i), blockExtent(matrix.rows, j));
}

enum class Outcome : std::uint8_t { Done, NotDefinite, Stopped };

/// Cholesky's factor in the lower triangle of a, blocks of the trailing matrix side by side.
Outcome factorize(const Square& a, const std::stop_token& stop)
{
    const std::size_t blocks = blockCount(a.rows);
    for (std::size_t k = 0; k < blocks; ++k) {
        const Square corner = blockOf(a, k, k);
        if (!kernels::choleskyFactor(corner))
            return Outcome::NotDefinite;
        const std::size_t below = blocks - k - 1;
        bool going = forEachIndex(
            below, stop, [&](std::size_t i) { kernels::solveLowerTransposedRight(corner, blockOf(a, k + 1 + i, k)); });
        going = going && forEachIndex(below * (below + 1) / 2, stop, [&](std::size_t pair) {
            // Pairs (i, j), j ≤ i, in rows of the triangle.
            auto i = static_cast<std::size_t>((std::sqrt(8.0 * static_cast<double>(pair) + 1.0) - 1.0) / 2.0);
            while (i * (i + 1) / 2 > pair)
                --i;
            while ((i + 1) * (i + 2) / 2 <= pair)
                ++i;
            const std::size_t j = pair - i * (i + 1) / 2;
            kernels::addProduct(-1.0, blockOf(a, k + 1 + i, k), Side::Plain, blockOf(a, k + 1 + j, k), Side::Transposed,
                1.0, blockOf(a, k + 1 + i, k + 1 + j));
        });
        if (!going)
            return Outcome::Stopped;
    }
    return Outcome::Done;
}

/// U[n−1−i][n−1−j] = (L⁻¹)[i][j], a block of columns of the inverse at a time.
bool invert(const Square& lower, ZeroedArray<float>& upper, const std::stop_token& stop)
{
    const std::size_t size = lower.rows;
    return forEachIndex(blockCount(size), stop, [&](std::size_t block) {
        const std::size_t first = block * factorBlock, width = blockExtent(size, block), height = size - first;
        std::vector<double> inverse(height * width, 0.0);
        for (std::size_t i = 0; i < width; ++i)
            inverse[i * width + i] = 1.0;
        if (!solveLowerInBands(lower.part(first, first, height, height), {inverse.data(), height, width, width}, stop))
            return;
        for (std::size_t i = 0; i < height; ++i) {
            float* row = upper.data() + (height - 1 - i) * size + (size - first - 1);
            for (std::size_t j = 0; j < std::min(width, i + 1); ++j)
                *(row - j) = kernels::withoutDust(inverse[i * width + j]);
        }
    });
}

/// The lower triangle of H/scale in reverse order of positions, with the damping on its diagonal.
bool gatherReversed(
    const LayerInputs& inputs, const InverseFactor& factor, ZeroedArray<double>& matrix, const std::stop_token& stop)
{
    const std::size_t size = factor.columns;
    return forEachIndex(size, stop, [&](std::size_t i) {
        const std::size_t row = factor.order[size - 1 - i];
        const double* moments = inputs.secondMoments.data() + row * size;
        for (std::size_t j = 0; j < i; ++j)
            matrix[i * size + j] = moments[factor.order[size - 1 - j]] / factor.scale;
        const double own = factor.dead[row] ? 1.0 : moments[row];
        matrix[i * size + i] = own / factor.scale + factor.damping;
    });
}

InverseFactor describeInputs(const LayerInputs& inputs, const FactorOptions& options)
{
    const std::size_t size = inputs.columns;
    InverseFactor factor {.columns = size, .order = std::vector<std::uint32_t>(size), .dead = std::vector<bool>(size)};
    std::vector<double> diagonal(size);
    for (std::size_t i = 0; i < size; ++i) {
        const double own = inputs.secondMoments[i * size + i];
        factor.dead[i] = own == 0.0;
        diagonal[i] = factor.dead[i] ? 1.0 : own;
    }
    factor.scale = std::accumulate(diagonal.begin(), diagonal.end(), 0.0) / static_cast<double>(size);
    std::iota(factor.order.begin(), factor.order.end(), 0U);
    if (options.byActivity)
        std::stable_sort(factor.order.begin(), factor.order.end(),
            [&](std::uint32_t a, std::uint32_t b) { return diagonal[a] > diagonal[b]; });
    return factor;
}

}  // namespace

bool InverseFactor::ordered() const
{
    for (std::size_t i = 0; i < order.size(); ++i)
        if (order[i] != i)
            return false;
    return true;
}

Result<InverseFactor> inverseFactor(const LayerInputs& inputs, const FactorOptions& options, std::stop_token stop)
{
    if (inputs.secondMoments.empty())
        return failure(ErrorCode::InvalidArgument, "calibration", "the second moments of the inputs are missing");
    InverseFactor factor = describeInputs(inputs, options);
    const std::size_t size = factor.columns;
    ZeroedArray<double> matrix(size * size);
    for (const double more : {1.0, 10.0, 100.0}) {
        factor.damping = more * options.damping;
        if (!gatherReversed(inputs, factor, matrix, stop))
            return calibrationStopped();
        const Square lower {matrix.data(), size, size, size};
        const Outcome outcome = factorize(lower, stop);
        if (outcome == Outcome::NotDefinite)
            continue;
        factor.upper = ZeroedArray<float>(size * size);
        if (outcome == Outcome::Stopped || !invert(lower, factor.upper, stop))
            return calibrationStopped();
        return factor;
    }
    return failure(ErrorCode::InvalidArgument, "calibration",
        "the second moments of the inputs are not positive definite, not even with " + std::to_string(factor.damping)
            + " times their mean added to the diagonal");
}

}  // namespace quantloupe
