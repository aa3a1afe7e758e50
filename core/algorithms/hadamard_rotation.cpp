// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/algorithms/hadamard_rotation.h"

#include "core/algorithms/hadamard_matrix.h"

#include <bit>

namespace quantloupe {

Result<HadamardRotation> HadamardRotation::create(std::size_t columns)
{
    const std::size_t power = columns == 0 ? 0 : std::size_t {1} << static_cast<unsigned>(std::countr_zero(columns));
    HadamardRotation rotation;
    rotation.m_signs = std::make_shared<const Signs>();
    if (columns > 1 && columns == power) {
        rotation.m_shape = {1, 1, columns};
        return rotation;
    }
    const std::size_t order = power >= 4 ? 4 * (columns / power) : 0;
    if (const auto matrix = hadamardMatrix(order); !matrix.empty()) {
        Signs signs {std::vector<double>(matrix.begin(), matrix.end()), std::vector<double>(matrix.size())};
        for (std::size_t i = 0; i < order; ++i)
            for (std::size_t j = 0; j < order; ++j)
                signs.backward[j * order + i] = signs.forward[i * order + j];
        rotation.m_shape = {1, order, columns / order};
        rotation.m_signs = std::make_shared<const Signs>(std::move(signs));
        return rotation;
    }
    if (power < smallestHadamardBlock)
        return failure(ErrorCode::Unsupported, "hadamard",
            "rows of " + std::to_string(columns) + " weights: no Hadamard matrix of that order is built, and "
                + std::to_string(smallestHadamardBlock) + " does not divide it");
    rotation.m_shape = {columns / power, 1, power};
    return rotation;
}

std::string HadamardRotation::description() const
{
    const std::string inner = std::to_string(m_shape.inner);
    if (m_shape.blocks > 1)
        return std::to_string(m_shape.blocks) + " blocks of " + inner;
    return m_shape.outer > 1 ? std::to_string(m_shape.outer) + " × " + inner : inner;
}

void HadamardRotation::apply(std::span<const float> rows, std::vector<double>& scratch, std::span<float> out) const
{
    rotate(rows, m_signs->forward, scratch, out);
}

void HadamardRotation::undo(std::span<const float> rows, std::vector<double>& scratch, std::span<float> out) const
{
    rotate(rows, m_signs->backward, scratch, out);
}

void HadamardRotation::rotate(std::span<const float> rows, std::span<const double> signs, std::vector<double>& scratch,
    std::span<float> out) const
{
    if (scratch.size() < kernels::hadamardScratch(m_shape))
        scratch.resize(kernels::hadamardScratch(m_shape));
    for (std::size_t start = 0; start < rows.size(); start += columns())
        kernels::hadamardRotate(rows.subspan(start, columns()), m_shape, signs, scratch, out.subspan(start, columns()));
}

}  // namespace quantloupe
