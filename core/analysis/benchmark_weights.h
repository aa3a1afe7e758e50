// SPDX-License-Identifier: GPL-3.0-or-later
// Weights to measure speed on, shared by both benchmark programs.
#pragma once

#include "core/base/line_allocator.h"
#include "core/model/model.h"

#include <cstdint>
#include <vector>

namespace quantloupe {

/// What reference weights look like.
enum class WeightShape : std::uint8_t {
    Bell,         ///< sum of four uniform bytes: quick to draw
    Gaussian,     ///< normal, σ = 0.02
    HeavyTailed,  ///< Student's t with four degrees of freedom, times 0.02: excess kurtosis without bound
};

/// A tensor in memory, aligned as tensors of mapped files are, symmetric about zero, from a fixed seed. The view points
/// into the object: not to be copied.
class BenchmarkTensor
{
public:
    /// @pre dtype is F32, BF16 or F16
    BenchmarkTensor(std::uint64_t rows, std::uint64_t columns, DType dtype, WeightShape weights = WeightShape::Bell);
    BenchmarkTensor(const BenchmarkTensor&) = delete;
    BenchmarkTensor& operator=(const BenchmarkTensor&) = delete;

    const ModelTensor& tensor() const { return m_tensor; }
    /// Its first rows, as a tensor of their own. @pre 0 < rows ≤ all
    ModelTensor firstRows(std::uint64_t rows) const;

private:
    std::vector<std::uint32_t, LineAllocator<std::uint32_t>> m_storage;
    ModelTensor m_tensor;
};

}  // namespace quantloupe
